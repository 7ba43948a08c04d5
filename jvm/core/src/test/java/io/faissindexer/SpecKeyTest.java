package io.faissindexer;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.faissindexer.internal.NativeBridge;
import io.faissindexer.internal.NativeLibrary;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;

public class SpecKeyTest {
    @Test
    public void defaultsThatPeopleReadAreThoseOfTheNativeLibrary() {
        NativeLibrary.load();
        String withoutValues = specOfBuild();
        for (SpecKey key : SpecKey.values()) {
            if (key.defaultValue() != null) {
                assertEquals(key.key(), withoutValues, specOfBuild(key.key(), key.defaultValue()));
            } else if (key != SpecKey.DIMENSION) {
                String absent = "\"" + key.key() + "\":null";
                assertTrue(key.key() + " has no default in " + withoutValues, withoutValues.contains(absent));
            }
        }
    }

    /** The spec as a build keeps it, with every default filled in. */
    private static String specOfBuild(String... keyAndValue) {
        List<String> spec = new ArrayList<>(Arrays.asList("dimension", "4"));
        spec.addAll(Arrays.asList(keyAndValue));
        String build = NativeBridge.startBuild("name", spec.toArray(new String[0]), "memory:/out", null);
        NativeBridge.abandon("name", "memory:/out", null);
        int begin = build.indexOf("\"spec\":");
        return build.substring(begin, build.indexOf('}', begin));
    }
}
