import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

/**
 * The peer of `tiderace-bench windows`: sum and count of each customer's payments in hopping
 * windows, over a file of JSON lines, on the mini cluster that Flink starts in this process.
 *
 * <p>Arguments: the events' file; the window's minutes; the state backend, `hashmap` or
 * `rocksdb`; a folder for the rows, or `blackhole`; whether operators may hand on the objects
 * they got (`pipeline.object-reuse`, off by default).
 */
public final class Hop {
    public static void main(String[] arguments) throws Exception {
        String events = arguments[0];
        int minutes = Integer.parseInt(arguments[1]);
        String sink = arguments[3];

        Configuration configuration = new Configuration();
        configuration.setString("parallelism.default", "1");
        configuration.setString("state.backend.type", arguments[2]);
        configuration.setString("table.local-time-zone", "UTC");
        configuration.setString("pipeline.object-reuse", arguments[4]);
        EnvironmentSettings settings =
                EnvironmentSettings.newInstance()
                        .inStreamingMode()
                        .withConfiguration(configuration)
                        .build();
        TableEnvironment tables = TableEnvironment.create(settings);

        // The columns that the query needs, and no others.
        tables.executeSql(
                "CREATE TABLE payments ("
                        + " paid_at BIGINT, customer_id BIGINT, amount BIGINT,"
                        + " moment AS TO_TIMESTAMP_LTZ(paid_at, 3),"
                        + " WATERMARK FOR moment AS moment - INTERVAL '6' SECOND"
                        + ") WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '"
                        + events
                        + "')");
        String to =
                sink.equals("blackhole")
                        ? "'connector' = 'blackhole'"
                        : "'connector' = 'filesystem', 'format' = 'csv',"
                                + " 'csv.disable-quote-character' = 'true', 'path' = '"
                                + sink
                                + "'";
        tables.executeSql(
                "CREATE TABLE rows_out ("
                        + " customer_id BIGINT, window_end TIMESTAMP(3), total BIGINT, payments BIGINT"
                        + ") WITH ("
                        + to
                        + ")");
        tables.executeSql(
                        "INSERT INTO rows_out"
                                + " SELECT customer_id, window_end, SUM(amount), COUNT(*)"
                                + " FROM TABLE(HOP(TABLE payments, DESCRIPTOR(moment),"
                                + " INTERVAL '1' MINUTES, INTERVAL '"
                                + minutes
                                + "' MINUTES))"
                                + " GROUP BY customer_id, window_start, window_end")
                .await();
    }
}
