package io.faissindexer.stages;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What the sample stage led to. */
public final class StagePlan implements Serializable {
    private static final long serialVersionUID = 1L;

    private final StagedBuild build;
    private final boolean resamples;
    private final ArrayList<String> notes;
    private final int mergeTasks;
    private final int assembleTasks;
    private final boolean evaluates;

    StagePlan(
            StagedBuild build,
            boolean resamples,
            List<String> notes,
            int mergeTasks,
            int assembleTasks,
            boolean evaluates) {
        this.build = build;
        this.resamples = resamples;
        this.notes = new ArrayList<>(notes);
        this.mergeTasks = mergeTasks;
        this.assembleTasks = assembleTasks;
        this.evaluates = evaluates;
    }

    /** The build with what was decided; takes the place of the one before. */
    public StagedBuild build() {
        return build;
    }

    /**
     * Whether the sample was too small: the stage runs again, and {@link StagedBuild#plan} goes by its outcomes alone.
     * The rate rises each time, at most to all rows.
     */
    public boolean resamples() {
        return resamples;
    }

    /** Sentences for the user. */
    public List<String> notes() {
        return Collections.unmodifiableList(notes);
    }

    /** The tasks of the stage {@code merge}. */
    public int mergeTasks() {
        return mergeTasks;
    }

    /** The tasks of the stage {@code assemble}; 0 when it does not run. */
    public int assembleTasks() {
        return assembleTasks;
    }

    /** Whether the stage {@code evaluate} runs. */
    public boolean evaluates() {
        return evaluates;
    }
}
