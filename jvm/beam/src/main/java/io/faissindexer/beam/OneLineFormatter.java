package io.faissindexer.beam;

import java.util.Locale;
import java.util.logging.Formatter;
import java.util.logging.Level;
import java.util.logging.LogRecord;

/** What the program logs, on one line each that begins as all lines of the program do. */
public final class OneLineFormatter extends Formatter {
    @Override
    public String format(LogRecord record) {
        String severity = record.getLevel().intValue() < Level.WARNING.intValue()
                ? ""
                : record.getLevel().getName().toLowerCase(Locale.ROOT) + ": ";
        return IndexBuilderApp.line(severity + formatMessage(record)) + System.lineSeparator();
    }
}
