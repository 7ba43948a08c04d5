package io.faissindexer.internal;

import java.util.logging.Level;
import java.util.logging.Logger;

/** A named log: SLF4J where the host has it, else java.util.logging. */
public abstract class Log {
    private static final boolean SLF4J = hasSlf4j();

    /** How much a record matters. */
    public enum Severity {
        /** The work cannot go on. */
        ERROR(Level.SEVERE),
        /** The work goes on, but somebody should look. */
        WARN(Level.WARNING),
        /** What a user wants to know. */
        INFO(Level.INFO),
        /** What helps to find a fault. */
        DEBUG(Level.FINE),
        /** Every step. */
        TRACE(Level.FINER);

        private final Level level;

        Severity(Level level) {
            this.level = level;
        }

        static Severity ofName(String name) {
            for (Severity severity : values()) {
                if (severity.name().equals(name)) {
                    return severity;
                }
            }
            return INFO;
        }
    }

    private Log() {
    }

    /** The log with a name. */
    public static Log named(String name) {
        return SLF4J ? new Slf4jLog(name) : new PlatformLog(name);
    }

    /** Writes one record. */
    public abstract void write(Severity severity, String message);

    /** Writes a record of severity INFO. */
    public final void info(String message) {
        write(Severity.INFO, message);
    }

    /** Writes a record of severity WARN. */
    public final void warn(String message) {
        write(Severity.WARN, message);
    }

    private static boolean hasSlf4j() {
        try {
            Class.forName("org.slf4j.LoggerFactory", false, Log.class.getClassLoader());
            return true;
        } catch (ClassNotFoundException | LinkageError absent) {
            return false;
        }
    }

    private static final class PlatformLog extends Log {
        private final Logger logger;

        PlatformLog(String name) {
            logger = Logger.getLogger(name);
        }

        @Override
        public void write(Severity severity, String message) {
            logger.log(severity.level, message);
        }
    }

    /** Loaded only where SLF4J is. */
    private static final class Slf4jLog extends Log {
        private final org.slf4j.Logger logger;

        Slf4jLog(String name) {
            logger = org.slf4j.LoggerFactory.getLogger(name);
        }

        @Override
        public void write(Severity severity, String message) {
            switch (severity) {
                case ERROR:
                    logger.error("{}", message);
                    break;
                case WARN:
                    logger.warn("{}", message);
                    break;
                case INFO:
                    logger.info("{}", message);
                    break;
                case DEBUG:
                    logger.debug("{}", message);
                    break;
                default:
                    logger.trace("{}", message);
            }
        }
    }
}
