/// What `sluice top` reads of the daemon's status; the rest of it is skipped, and what an older daemon lacks is nil.
struct TopStatus: Decodable {
    struct Rows: Decodable {
        var received, accepted, rejected, committed, deadLettered, discarded: UInt64
        var inFlight: Int64
    }

    struct Rates: Decodable {
        var receivedBytes, acceptedRows, rejectedRows, committedRows, durableGroups, sealedBlocks, encodedBytes,
            cores: Double
    }

    struct Backpressure: Decodable {
        var stage, message: String
        var waiting: [String]
    }

    struct Queue: Decodable {
        var elements, elementsMax, bytes, bytesMax: Int
        var rows: Int?

        /// Between 0 and 1: of whichever bound is nearer.
        var fill: Double {
            min(1, max(Double(elements) / Double(max(1, elementsMax)), Double(bytes) / Double(max(1, bytesMax))))
        }
    }

    struct Stage: Decodable {
        var stage: String
        var rows: Int
        var queue: Queue?
    }

    struct Connections: Decodable {
        var producers, sink: Int
        var producersRefused: UInt64
    }

    struct Host: Decodable {
        var host, breaker: String
        var connections: Int
        var committedBlocks, failures: UInt64
    }

    struct Spool: Decodable {
        var unsettledRows, bytes, bytesMax: Int
        var oldestAgeSeconds: Double
        var full: Bool
    }

    struct Latency: Decodable {
        var count: UInt64
        var average, p50, p99, max: Double
    }

    struct Latencies: Decodable {
        var accept, durable, seal, encode, insert, endToEnd: Latency
    }

    struct Table: Decodable {
        var table: String
        var acceptedRows, committedRows, committedBlocks: UInt64
        var rejectedRows: [String: UInt64]
    }

    struct Rejection: Decodable {
        var reason, message: String
        var table, column: String?
    }

    struct Process: Decodable {
        var residentBytes, openFiles, openFilesMax, threads: Int
    }

    var health, intake, version, sink: String
    var healthAgeSeconds, uptimeSeconds: Double
    var rows: Rows
    var rates: Rates?
    var backpressure: Backpressure?
    var stages: [Stage]
    var connections: Connections
    var hosts: [Host]
    var errors: [String: UInt64]
    var spool: Spool?
    var latencyMs: Latencies
    var tables: [Table]
    var rejections: [Rejection]
    var process: Process
}
