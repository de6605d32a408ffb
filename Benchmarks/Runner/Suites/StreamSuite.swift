import Workloads
import Pipeline

/// What it costs to hand an element to the next stage.
enum StreamSuite {
    static let benchmarks: [Benchmark] = [
        Benchmark(name: "stream/uncontended", about: "trySend and take on one thread, nobody waits") { plan in
            let count = 1_000_000
            let stream = BoundedStream<Int>(elementsMax: 64, bytesMax: 1 << 20, weight: { _ in 8 })
            var lost = 0
            let rounds = plan.rounds.measure {
                for element in 0..<count {
                    if case .accepted = stream.trySend(element) {} else { lost += 1 }
                    lost += 1 - stream.takeAvailable(maxElements: 1).count
                }
            }
            return measurement("stream/uncontended", count, rounds, lost: lost)
        },
        Benchmark(name: "stream/hop", about: "a sender and a consumer that wait for each other at every element") {
            plan in
            let count = 100_000
            let rounds = try await plan.rounds.measureProcess { try await hop(count) }
            return measurement("stream/hop", count, rounds, lost: 0)
        },
    ]

    private static func measurement(_ name: String, _ count: Int, _ rounds: [Round], lost: Int) -> Measurement {
        Measurement(
            name: name, unit: .element, count: count, bytes: 0, rounds: rounds,
            fault: lost == 0 ? nil : "\(lost) elements were lost")
    }

    /// There and back over two streams of one element: each waits for the other every time.
    @concurrent
    private static func hop(_ count: Int) async throws {
        let there = BoundedStream<Int>(elementsMax: 1, bytesMax: 1 << 10, weight: { _ in 8 })
        let back = BoundedStream<Int>(elementsMax: 1, bytesMax: 1 << 10, weight: { _ in 8 })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while let element = await there.next() { try await back.send(element) }
                back.finish()
            }
            for element in 0..<count / 2 {
                try await there.send(element)
                guard await back.next() == element else { throw BenchmarkError("an element was lost") }
            }
            there.finish()
            try await group.waitForAll()
        }
    }
}
