package io.faissindexer.hadoop;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.apache.log4j.AppenderSkeleton;
import org.apache.log4j.Level;
import org.apache.log4j.Logger;
import org.apache.log4j.spi.LoggingEvent;

/** What one logger is told while this is open. */
final class RecordedLog extends AppenderSkeleton implements AutoCloseable {
    private final Logger logger;
    private final Level level;
    private final List<String> messages = Collections.synchronizedList(new ArrayList<>());

    RecordedLog(String name) {
        logger = Logger.getLogger(name);
        level = logger.getLevel();
        logger.setLevel(Level.INFO);
        logger.addAppender(this);
    }

    List<String> messages() {
        return messages;
    }

    @Override
    protected void append(LoggingEvent event) {
        messages.add(event.getRenderedMessage());
    }

    @Override
    public boolean requiresLayout() {
        return false;
    }

    @Override
    public void close() {
        logger.removeAppender(this);
        logger.setLevel(level);
    }
}
