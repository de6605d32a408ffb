import Synchronization
import Testing

@testable import Pipeline

/// What an operator sees of producers.
@Suite struct ProducerListTests {
    private final class Time: Sendable {
        let now = Mutex<Int64>(1_000)
    }

    private let time = Time()
    private var registry: ProducerRegistry {
        ProducerRegistry(producersMax: 1_000, wallClock: { [time] in time.now.withLock { $0 } })
    }

    @Test func aProducerIsShownWithWhereItStands() throws {
        let registry = registry
        let producer = try registry.attach(name: "web-7", epoch: 3, session: 1) {}.get()
        _ = producer.take(RowRange(first: 1, last: 10), session: 1)
        producer.becameDurable(RowRange(first: 1, last: 8))
        producer.becameSettled(RowRange(first: 1, last: 5))
        time.now.withLock { $0 = 5_000 }
        let expected = ProducerStatus(
            name: "web-7", epoch: 3, isConnected: true, taken: 10, durable: 8, settled: 5, rows: 10, lastSeen: 5_000)
        #expect(registry.list().shown == [expected])
        registry.detach(producer, session: 1)
        time.now.withLock { $0 = 9_000 }
        let gone = registry.list()
        #expect(gone.connected == 0 && gone.known == 1)
        #expect(gone.shown.first?.isConnected == false && gone.shown.first?.lastSeen == 5_000)
    }

    @Test func rowsThatCameTwiceCountOnce() throws {
        let registry = registry
        let producer = try registry.attach(name: "a", epoch: 0, session: 1) {}.get()
        _ = producer.take(RowRange(first: 1, last: 10), session: 1)
        _ = producer.take(RowRange(first: 6, last: 12), session: 1)
        #expect(registry.list().shown.first?.rows == 12)
    }

    @Test func thoseThatAreConnectedComeFirstAndTheListIsBounded() throws {
        let registry = registry
        for number in 0..<200 {
            time.now.withLock { $0 = Int64(number) }
            let producer = try registry.attach(name: "p\(number)", epoch: 0, session: UInt64(number)) {}.get()
            if number != 7 { registry.detach(producer, session: UInt64(number)) }
        }
        _ = try registry.attach(name: nil, epoch: 0, session: 900) {}.get()
        let list = registry.list()
        #expect(list.known == 201 && list.connected == 2)
        #expect(list.shown.count == ProducerStatus.shownMax)
        #expect(list.shown.prefix(4).map(\.name) == ["p7", nil, "p199", "p198"])
    }
}
