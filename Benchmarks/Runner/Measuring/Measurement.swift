/// What one round took.
struct Round: Codable, Sendable {
    var wallSeconds: Double
    var cpuSeconds: Double
    /// Of a child process, where one did the work.
    var peakResidentBytes: Int?
    /// That it made of the rows.
    var rowBatches: Int?
    /// Of a child process.
    var system: SystemCounts?
}

/// What a benchmark counts.
enum Unit: String, Codable, Sendable {
    case row, element
    /// The work is measured in bytes alone.
    case byte
}

/// The outcome of a benchmark: the same work, several times.
struct Measurement: Codable, Sendable {
    let name: String
    let unit: Unit
    /// Units in a round.
    let count: Int
    /// Input bytes in a round; 0: not of interest.
    let bytes: Int
    let rounds: [Round]
    /// What the work came to, where that says something: bytes after compression for one before.
    var ratio: Double?
    /// A check that failed, such as rows that are missing; nil: all is as it should be.
    var fault: String?

    /// CPU seconds for a million units; for bytes, for a GB.
    var cpu: Spread {
        let scale = unit == .byte ? Double(bytes) / 1e9 : Double(count) / 1e6
        return Spread(rounds.map { $0.cpuSeconds / scale })
    }

    var unitsPerSecond: Double { Double(count) / Spread(rounds.map(\.wallSeconds)).median }
    var megabytesPerSecond: Double { Double(bytes) / 1e6 / Spread(rounds.map(\.wallSeconds)).median }
    var peakResidentBytes: Int? { rounds.compactMap(\.peakResidentBytes).max() }
    /// Threads that went to sleep and came back, for a million units; nil: not counted.
    var waitsPerMillion: Double? {
        let counts = rounds.compactMap { $0.system.map { Double($0.waits) / (Double(count) / 1e6) } }
        return counts.isEmpty ? nil : Spread(counts).median
    }
    /// Rows of a row batch, on average; nil: none were counted.
    var rowsPerBatch: Double? {
        let counts = rounds.compactMap { $0.rowBatches.map { Double(count) / Double(max(1, $0)) } }
        return counts.isEmpty ? nil : Spread(counts).median
    }
}

/// Median and ends of a few numbers.
struct Spread: Codable, Sendable {
    let median: Double
    let min: Double
    let max: Double

    init(_ values: [Double]) {
        let sorted = values.sorted()
        min = sorted.first ?? 0
        max = sorted.last ?? 0
        let middle = sorted.count / 2
        median =
            sorted.isEmpty ? 0 : sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

/// How often the work is done.
struct Rounds: Sendable {
    let count: Int

    /// Does the work once for warming up, and then measures it on the calling thread, which must do all of it.
    func measure(_ work: () throws -> Void) rethrows -> [Round] {
        try work()
        return try (0..<count).map { _ in
            let (wall, cpu) = (Clocks.wall, Clocks.threadCPU)
            try work()
            return Round(wallSeconds: Clocks.wall - wall, cpuSeconds: Clocks.threadCPU - cpu)
        }
    }

    /// The same for work of several threads of this process.
    @concurrent
    func measureProcess(_ work: @Sendable () async throws -> Void) async rethrows -> [Round] {
        try await work()
        var rounds: [Round] = []
        for _ in 0..<count {
            let (wall, cpu) = (Clocks.wall, Clocks.processCPU)
            try await work()
            rounds.append(Round(wallSeconds: Clocks.wall - wall, cpuSeconds: Clocks.processCPU - cpu))
        }
        return rounds
    }
}
