package io.faissindexer.mapreduce;

import io.faissindexer.stages.IndexBuild;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.jar.JarFile;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.util.ClassUtil;

/**
 * Takes the jars of this library and of the user to the tasks: those of this machine are uploaded once, for all jobs
 * of a build, and others are taken from where they are.
 */
final class JobJars {
    /** The jars of {@code -libjars}. */
    private static final String GIVEN_JARS = "tmpjars";
    private static final String LOCAL = "file";

    private final Configuration configuration;
    private final StagingDirectory staging;
    private Path jobJar;
    private List<Path> others;

    JobJars(Configuration configuration, StagingDirectory staging) {
        this.configuration = configuration;
        this.staging = staging;
    }

    void configure(Job job) throws IOException {
        if (MapReduceEngine.runsLocally(configuration)) {
            return;
        }
        if (others == null) {
            upload(job.getJar());
        }
        job.getConfiguration().unset(GIVEN_JARS);
        if (jobJar != null) {
            job.setJar(jobJar.toString());
        }
        for (Path jar : others) {
            job.addFileToClassPath(jar);
        }
    }

    /** The jar of the user's program is the job's; what it does not hold of ours goes beside it. */
    private void upload(String givenJobJar) throws IOException {
        others = new ArrayList<>();
        String own = ClassUtil.findContainingJar(MapReduceEngine.class);
        String job = givenJobJar == null ? own : new Path(givenJobJar).toUri().getPath();
        Set<Path> beside = new LinkedHashSet<>();
        for (String given : configuration.getTrimmedStrings(GIVEN_JARS)) {
            beside.add(new Path(given));
        }
        for (String jar : new String[] {own, ClassUtil.findContainingJar(IndexBuild.class)}) {
            if (jar != null && !jar.equals(job) && !holds(job, new Path(jar).getName())) {
                beside.add(new Path(LOCAL, null, jar));
            }
        }
        Set<String> names = new HashSet<>();
        if (job != null) {
            jobJar = staging.upload(new Path(LOCAL, null, job), unused(new Path(job).getName(), names));
        }
        for (Path jar : beside) {
            if (!isLocal(jar)) {
                names.add(jar.getName());
                others.add(jar);
            }
        }
        for (Path jar : beside) {
            if (isLocal(jar)) {
                others.add(staging.upload(jar, unused(jar.getName(), names)));
            }
        }
    }

    private static boolean isLocal(Path jar) {
        String scheme = jar.toUri().getScheme();
        return scheme == null || scheme.equals(LOCAL);
    }

    /** All jars get into one directory of a task, where a name is there once. */
    private static String unused(String name, Set<String> names) {
        String unused = name;
        for (int number = 2; !names.add(unused); number++) {
            unused = number + "-" + name;
        }
        return unused;
    }

    private static boolean holds(String job, String name) throws IOException {
        if (job == null) {
            return false;
        }
        try (JarFile jar = new JarFile(job)) {
            return jar.getEntry("lib/" + name) != null;
        }
    }
}
