package io.faissindexer.hadoop;

import org.apache.hadoop.conf.Configuration;

/** A whole number that the configuration may hold, and who put it there. */
final class GivenSetting {
    private enum Origin { NOBODY, SITE, USER }

    private final String key;
    private final int value;
    private final Origin origin;

    private GivenSetting(String key, int value, Origin origin) {
        this.key = key;
        this.value = value;
        this.origin = origin;
    }

    /** What a configuration says; Hadoop's own defaults, and numbers below 1, say nothing. */
    static GivenSetting of(String key, Configuration configuration) {
        int value = configuration.getInt(key, 0);
        return new GivenSetting(key, value, value <= 0 ? Origin.NOBODY : origin(key, configuration));
    }

    private static Origin origin(String key, Configuration configuration) {
        String[] sources = configuration.getPropertySources(key);
        String last = sources == null || sources.length == 0 ? "" : sources[sources.length - 1];
        if (last.endsWith("-default.xml")) {
            return Origin.NOBODY;
        }
        return last.endsWith("-site.xml") ? Origin.SITE : Origin.USER;
    }

    /** Whether it was said on the command line, in a file of the user's, or by the program that runs the job. */
    boolean isUsers() {
        return origin == Origin.USER;
    }

    /** The number; 0 when nobody gave one. */
    int value() {
        return origin == Origin.NOBODY ? 0 : value;
    }

    @Override
    public String toString() {
        return key + "=" + value;
    }
}
