package io.faissindexer.kerberos;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.minikdc.MiniKdc;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.kerby.kerberos.kerb.KrbException;
import org.apache.kerby.kerberos.kerb.client.KrbClient;

/** A key distribution centre inside the process, with one principal for all daemons and one for a user. */
public final class KerberosRealm implements AutoCloseable {
    public static final String USER = "indexer";

    private final MiniKdc kdc;
    private final File serviceKeytab;
    private final File userKeytab;

    public KerberosRealm() throws Exception {
        File directory = Files.createTempDirectory("realm").toFile();
        kdc = new MiniKdc(MiniKdc.createConf(), directory);
        kdc.start();
        serviceKeytab = new File(directory, "services.keytab");
        userKeytab = new File(directory, "user.keytab");
        kdc.createPrincipal(serviceKeytab, "hadoop/localhost", "HTTP/localhost");
        kdc.createPrincipal(userKeytab, USER);
        UserGroupInformation.setConfiguration(settings());
        // Daemons of one process have one login.
        UserGroupInformation.loginUserFromKeytab(service(), serviceKeytab.getPath());
    }

    private String service() {
        return "hadoop/localhost@" + kdc.getRealm();
    }

    /** What the daemons and the clients of a cluster have to know. */
    public Configuration settings() {
        Configuration settings = new Configuration();
        settings.set("hadoop.security.authentication", "kerberos");
        settings.setBoolean("hadoop.security.authorization", true);
        for (String daemon : new String[] {
            "dfs.namenode.kerberos", "dfs.datanode.kerberos", "yarn.resourcemanager", "yarn.nodemanager",
            "mapreduce.jobhistory"}) {
            settings.set(daemon + ".principal", service());
        }
        for (String daemon : new String[] {
            "dfs.namenode.keytab.file", "dfs.datanode.keytab.file", "yarn.resourcemanager.keytab",
            "yarn.nodemanager.keytab", "mapreduce.jobhistory.keytab", "dfs.web.authentication.kerberos.keytab"}) {
            settings.set(daemon, serviceKeytab.getPath());
        }
        settings.set("dfs.web.authentication.kerberos.principal", "HTTP/localhost@" + kdc.getRealm());
        settings.setBoolean("yarn.resourcemanager.webapp.delegation-token-auth-filter.enabled", false);
        settings.setBoolean("dfs.block.access.token.enable", true);
        // Machines that are no machines of their own have neither privileged ports nor certificates.
        settings.setBoolean("ignore.secure.ports.for.testing", true);
        return settings;
    }

    /** For Java on a machine that knows the name of the realm, as Hadoop asks for, and nobody who gives tickets. */
    public String optionsOfMachineWithoutTickets() {
        return "-Djava.security.krb5.realm=" + kdc.getRealm() + " -Djava.security.krb5.kdc=localhost:1";
    }

    public String userPrincipal() {
        return USER + "@" + kdc.getRealm();
    }

    public File userKeytab() {
        return userKeytab;
    }

    /** The user, logged in from a keytab. */
    public UserGroupInformation user() throws IOException {
        return UserGroupInformation.loginUserFromKeytabAndReturnUGI(userPrincipal(), userKeytab.getPath());
    }

    /** What {@code kinit -kt KEYTAB} leaves. */
    public void writeTicketCache(File cache) throws KrbException {
        KrbClient client = new KrbClient();
        client.setKdcRealm(kdc.getRealm());
        client.setKdcHost(kdc.getHost());
        client.setKdcTcpPort(kdc.getPort());
        client.setAllowUdp(false);
        client.init();
        client.storeTicket(client.requestTgt(userPrincipal(), userKeytab), cache);
    }

    /** For Java on a machine of the realm. */
    public String optionsOfMachine() {
        return "-Djava.security.krb5.conf=" + kdc.getKrb5conf();
    }

    @Override
    public void close() {
        kdc.stop();
        UserGroupInformation.reset();
    }
}
