import CountedWork
import Testing
import Workloads

/// What a row costs, by counts that are the same on every machine: time is measured by `Benchmarks` and never asserted.
@Suite(.enabled(if: CountedWork.isPossible, "a sanitizer or another C library has the heap"))
struct CountTests {
    /// Most allocations for 1,000 rows. Optimized, rows themselves need none; blocks, frames and chunks need some, whatever their size.
    /// What the optimizer takes away is there in a debug build, where one more for each row still shows.
    #if DEBUG
        static let allocationsMax: [String: Double] = [
            "parse/mstore": 3500, "parse/plain": 1500, "parse/low-cardinality": 1500, "parse/plain-shuffled": 1500,
            "encode/lz4": 150, "encode/spool": 250, "encode/joined": 150, "path/spool": 3800,
        ]
    #else
        static let allocationsMax: [String: Double] = [
            "parse/mstore": 60, "parse/plain": 60, "parse/low-cardinality": 60, "parse/plain-shuffled": 60,
            "encode/lz4": 60, "encode/spool": 60, "encode/joined": 60, "path/spool": 120,
        ]
    #endif

    @Test("The hot path allocates nothing for a row", arguments: CountedWork.names)
    func allocations(name: String) throws {
        let limit = try #require(Self.allocationsMax[name])
        let counted = try CountedWork.make(name, SchemaFolder(path: "schema")).count()
        let each = Double(counted.allocations) / Double(counted.rows) * 1000
        #expect(each <= limit, "\(counted.allocations) allocations for \(counted.rows) rows")
        #expect(counted.outputBytes > 0)
    }
}
