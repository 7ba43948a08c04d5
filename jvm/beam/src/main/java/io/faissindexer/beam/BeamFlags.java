package io.faissindexer.beam;

import java.beans.Introspector;
import java.lang.reflect.Method;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.options.PipelineOptionsFactory;

/** The options of Beam, of its runners and of its connectors, as flags of a program. */
final class BeamFlags {
    private BeamFlags() {
    }

    /** Every option by its name, such as {@code tempLocation}, and whether it may stand alone, meaning true. */
    static Map<String, Boolean> all() {
        Map<String, Boolean> flags = new TreeMap<>();
        for (Class<? extends PipelineOptions> options : PipelineOptionsFactory.getRegisteredOptions()) {
            for (Method method : options.getMethods()) {
                if (method.getName().startsWith("set") && method.getParameterCount() == 1) {
                    Class<?> type = method.getParameterTypes()[0];
                    flags.put(Introspector.decapitalize(method.getName().substring("set".length())),
                            type == boolean.class || type == Boolean.class);
                }
            }
        }
        return flags;
    }

    /** The name of an option with dashes, as other flags are spelled. */
    static String withDashes(String option) {
        return option.replaceAll("(?<=[a-z0-9])(?=[A-Z])", "-").toLowerCase(Locale.ROOT);
    }
}
