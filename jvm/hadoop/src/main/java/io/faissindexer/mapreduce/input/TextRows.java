package io.faissindexer.mapreduce.input;

import java.io.IOException;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.hadoop.mapreduce.lib.input.FileSplit;
import org.apache.hadoop.mapreduce.lib.input.LineRecordReader;

/** Lines of an id, a tab, and components with commas between. Empty lines are no rows. */
final class TextRows extends RowFileReader {
    private static final int QUOTED_CHARACTERS = 60;

    private final LineRecordReader lines = new LineRecordReader();
    private final DelimitedText components = new DelimitedText();
    private FileSplit split;
    /** Lines that were read of a part that begins where its file does; negative in other parts. */
    private long line;
    private EmbeddingRow row;

    @Override
    void open(FileSplit part, TaskAttemptContext context) throws IOException {
        split = part;
        line = part.getStart() == 0 ? 0 : Long.MIN_VALUE;
        lines.initialize(part, context);
    }

    @Override
    boolean next() throws IOException {
        while (lines.nextKeyValue()) {
            line++;
            String text = lines.getCurrentValue().toString().trim();
            if (!text.isEmpty()) {
                row = parse(lines.getCurrentValue().toString());
                return true;
            }
        }
        return false;
    }

    private EmbeddingRow parse(String text) {
        int tab = text.indexOf('\t');
        String id = (tab < 0 ? text : text.substring(0, tab)).trim();
        try {
            if (DelimitedText.isAbsent(id)) {
                return DelimitedText.withoutId();
            }
            return components.row(Long.parseLong(id), tab < 0 ? "" : text.substring(tab + 1));
        } catch (NumberFormatException notANumber) {
            String shown = text.length() <= QUOTED_CHARACTERS ? text : text.substring(0, QUOTED_CHARACTERS) + "…";
            throw malformed(split, place(),
                    "'" + shown + "' is not an id, a tab, and numbers with commas between: " + notANumber.getMessage());
        }
    }

    private String place() {
        return line > 0 ? "line " + line : "line at byte " + lines.getCurrentKey().get();
    }

    @Override
    EmbeddingRow row() {
        return row;
    }

    @Override
    float progress() throws IOException {
        return lines.getProgress();
    }

    @Override
    public void close() throws IOException {
        lines.close();
    }
}
