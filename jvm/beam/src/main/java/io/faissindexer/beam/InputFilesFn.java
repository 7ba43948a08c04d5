package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.io.fs.EmptyMatchTreatment;
import org.apache.beam.sdk.io.fs.MatchResult.Metadata;
import org.apache.beam.sdk.transforms.DoFn;

/**
 * The files that an input names: itself, those that match it as a pattern, or all below a directory whose names begin
 * with neither a dot nor an underscore.
 */
final class InputFilesFn extends DoFn<String, Metadata> {
    private static final long serialVersionUID = 1L;

    /** Looks for the files of one input. */
    @ProcessElement
    public void process(@Element String input, OutputReceiver<Metadata> files) {
        try {
            find(input, files);
        } catch (IOException failure) {
            throw new FaissIndexException(
                    Kind.STORAGE, "--input: " + input + ": " + RootCause.message(failure), failure);
        }
    }

    private static void find(String input, OutputReceiver<Metadata> files) throws IOException {
        List<Metadata> named = FileSystems.match(input, EmptyMatchTreatment.ALLOW).metadata();
        List<Metadata> found = new ArrayList<>(files(named));
        if (found.isEmpty()) {
            for (String directory : directories(input, named)) {
                files(FileSystems.match(directory + "**", EmptyMatchTreatment.ALLOW).metadata()).stream()
                        .filter(file -> !isHidden(file.resourceId().toString().substring(directory.length())))
                        .forEach(found::add);
            }
        }
        if (found.isEmpty()) {
            throw new FaissIndexException(Kind.INVALID_SPEC, "--input: there is no file " + input);
        }
        found.forEach(files::output);
    }

    /** What an input without files may name, in the words that the names of the files in there begin with. */
    private static List<String> directories(String input, List<Metadata> named) {
        // Object stores have no directories, and the local file system knows file: only where it matches.
        return named.isEmpty()
                ? List.of(FileSystems.matchNewResource(input, true).toString())
                : named.stream().map(directory -> directory.resourceId().toString()).collect(Collectors.toList());
    }

    private static List<Metadata> files(List<Metadata> found) {
        return found.stream().filter(file -> !file.resourceId().isDirectory()).collect(Collectors.toList());
    }

    private static boolean isHidden(String path) {
        for (String name : path.split("/")) {
            if (name.startsWith(".") || name.startsWith("_")) {
                return true;
            }
        }
        return false;
    }
}
