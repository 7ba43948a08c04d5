package io.faissindexer.hadoop;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.PrivilegedExceptionAction;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.security.UserGroupInformation;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class HdfsDirectionsTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private static Map<String, String> settings(Configuration configuration) {
        String[] pairs = HdfsDirections.settings(configuration);
        Map<String, String> settings = new TreeMap<>();
        for (int at = 0; at < pairs.length; at += 2) {
            settings.put(pairs[at], pairs[at + 1]);
        }
        return settings;
    }

    @Test
    public void valuesHaveNoVariablesUnitsSchemesOrBlanksLeft() {
        Configuration configuration = new Configuration(false);
        configuration.set("machine", "node");
        configuration.set("dfs.nameservices", "pair");
        configuration.set("dfs.ha.namenodes.pair", "nn1, nn2 ");
        configuration.set("dfs.namenode.rpc-address.pair.nn1", "${machine}1:8020");
        configuration.set("dfs.namenode.rpc-address.pair.nn2", "hdfs://node2:8020");
        configuration.set("dfs.client.socket-timeout", "2m");
        configuration.set("hadoop.security.authentication", " kerberos ");
        configuration.set("dfs.replication", "2");
        Map<String, String> expected = new TreeMap<>();
        expected.put("dfs.nameservices", "pair");
        expected.put("dfs.ha.namenodes.pair", "nn1,nn2");
        expected.put("dfs.namenode.rpc-address.pair.nn1", "node1:8020");
        expected.put("dfs.namenode.rpc-address.pair.nn2", "node2:8020");
        expected.put("dfs.client.socket-timeout", "120000");
        expected.put("hadoop.security.authentication", "kerberos");
        assertEquals(expected, settings(configuration));
    }

    @Test
    public void whatIsOnlyHadoopsDefaultIsLeftOut() {
        Configuration configuration = new Configuration(false);
        String defaults = "<configuration><property><name>dfs.client.failover.max.attempts</name><value>15</value>"
                + "</property></configuration>";
        configuration.addResource(
                new ByteArrayInputStream(defaults.getBytes(StandardCharsets.UTF_8)), "hdfs-default.xml");
        assertEquals(15, configuration.getInt("dfs.client.failover.max.attempts", 0));
        assertEquals(Collections.emptyMap(), settings(configuration));
    }

    @Test
    public void theUserIsTheOneThatActsWhereNobodyAsksForAProof() throws Exception {
        String user = UserGroupInformation.createRemoteUser("somebody")
                .doAs((PrivilegedExceptionAction<String>) HdfsDirections::user);
        assertEquals("somebody", user);
    }

    @Test
    public void aDirectoryThatIsMissingIsJudgedByTheOneAboveIt() throws IOException {
        Path missing = new Path(folder.getRoot().toURI().toString(), "not/there/yet");
        assertNull(HdfsDirections.obstacle(missing, new Configuration()));
    }
}
