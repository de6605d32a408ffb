import Workloads

/// What the command line asked for.
struct Plan: Sendable {
    var rounds = Rounds(count: 5)
    /// Of the benchmarks that go over the socket.
    var rows = 1_000_000
    var schema = SchemaFolder(path: "schema")
    var clickhouse: ClickHouseTarget?
}

/// One thing to measure.
struct Benchmark: Sendable {
    let name: String
    let about: String
    /// Measured with `--clickhouse` only.
    var needsServer = false
    /// Measured only where this is installed; nil: it is of sluice itself.
    var program: String?
    let run: @Sendable (Plan) async throws -> Measurement
}

enum Suites {
    /// In the order of the pipeline.
    static let all: [Benchmark] =
        ParseSuite.benchmarks + RuleSuite.benchmarks + EncodeSuite.benchmarks + CodecSuite.benchmarks
        + StreamSuite.benchmarks + PeerSuite.benchmarks + EndToEndSuite.benchmarks + SendSuite.benchmarks
        + PeerProgramSuite.benchmarks
}
