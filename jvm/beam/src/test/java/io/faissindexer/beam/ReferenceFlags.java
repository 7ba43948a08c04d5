package io.faissindexer.beam;

import io.faissindexer.ReferenceBuild;
import io.faissindexer.SpecKey;
import java.util.ArrayList;
import java.util.List;

/** The build that every engine's tests do, as flags of the program. */
final class ReferenceFlags {
    private ReferenceFlags() {
    }

    static List<String> all() {
        List<String> flags = new ArrayList<>();
        for (SpecKey key : SpecKey.values()) {
            String value = ReferenceBuild.spec().values().get(key.key());
            if (value != null) {
                flags.add("--" + key.flag().replace('-', '_') + "=" + value);
            }
        }
        return flags;
    }
}
