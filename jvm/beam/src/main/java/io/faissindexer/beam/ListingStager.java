package io.faissindexer.beam;

import com.google.api.services.dataflow.model.DataflowPackage;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.beam.runners.dataflow.options.DataflowPipelineOptions;
import org.apache.beam.runners.dataflow.util.PackageUtil.StagedFile;
import org.apache.beam.runners.dataflow.util.Stager;
import org.apache.beam.sdk.options.PipelineOptions;

/**
 * Says where files would be put that workers need, and puts them nowhere: {@code --stagerClass} of a job that is only
 * described.
 */
public final class ListingStager implements Stager {
    private final String directory;

    private ListingStager(String directory) {
        this.directory = directory;
    }

    /** As Dataflow's runner makes one. */
    public static ListingStager fromOptions(PipelineOptions options) {
        String location = options.as(DataflowPipelineOptions.class).getStagingLocation();
        return new ListingStager(location.replaceFirst("^gs://", "storage.googleapis.com/").replaceFirst("/*$", "/"));
    }

    @Override
    public List<DataflowPackage> stageFiles(List<StagedFile> files) {
        return files.stream().map(file -> listed(file.getDestination())).collect(Collectors.toList());
    }

    @Override
    public DataflowPackage stageToFile(byte[] bytes, String baseName) {
        return listed(baseName);
    }

    private DataflowPackage listed(String name) {
        return new DataflowPackage().setName(name).setLocation(directory + name);
    }
}
