package io.faissindexer.beam;

import com.google.api.services.dataflow.model.DataflowPackage;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.beam.runners.dataflow.util.PackageUtil.StagedFile;
import org.apache.beam.runners.dataflow.util.Stager;
import org.apache.beam.sdk.options.PipelineOptions;

/** Says where files would be put that workers need, and puts them nowhere. */
public final class ListingStager implements Stager {
    /** As Dataflow's runner makes one. */
    public static ListingStager fromOptions(PipelineOptions options) {
        return new ListingStager();
    }

    @Override
    public List<DataflowPackage> stageFiles(List<StagedFile> files) {
        return files.stream().map(file -> listed(file.getDestination())).collect(Collectors.toList());
    }

    @Override
    public DataflowPackage stageToFile(byte[] bytes, String baseName) {
        return listed(baseName);
    }

    private static DataflowPackage listed(String name) {
        return new DataflowPackage().setName(name).setLocation("storage.googleapis.com/bucket/staging/" + name);
    }
}
