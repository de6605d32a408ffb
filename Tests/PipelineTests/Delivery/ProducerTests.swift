import Synchronization
import TestSupport
import Testing

@testable import Pipeline

@Suite struct ProducerTests {
    private final class Ear: Sendable {
        private let calls = Mutex(0)
        var count: Int { calls.withLock { $0 } }
        func wake() { calls.withLock { $0 += 1 } }
    }

    private func range(_ first: UInt64, _ last: UInt64) -> RowRange { RowRange(first: first, last: last) }

    private func refusal(_ number: UInt64) -> RowRefusal {
        RowRefusal(number: number, reason: "type_mismatch", column: nil, message: "")
    }

    private func registry(producersMax: Int = 10, now: @escaping @Sendable () -> Int64 = { 0 }) -> ProducerRegistry {
        ProducerRegistry(producersMax: producersMax, ageMax: .seconds(10), wallClock: now)
    }

    private func attach(
        _ registry: ProducerRegistry, _ name: String? = "w", epoch: UInt64 = 1, session: UInt64, _ ear: Ear = Ear()
    ) throws -> Producer {
        try registry.attach(name: name, epoch: epoch, session: session, wake: { ear.wake() }).get()
    }

    // MARK: Taking

    @Test func rowsAreTakenOnceAndWithoutGaps() throws {
        let producer = try attach(registry(), session: 1)
        #expect(producer.take(range(1, 5), session: 1) == (.from(1), 5))
        #expect(producer.take(range(1, 5), session: 1) == (.nothing, 5))
        #expect(producer.take(range(4, 8), session: 1) == (.from(6), 8))
        #expect(producer.take(range(10, 11), session: 1) == (.gap(expected: 9), 0))
        #expect(producer.take(range(9, 9), session: 2) == (.notOwner, 0))
        #expect(producer.isUnderWay)
        producer.becameDurable(range(1, 8))
        #expect(!producer.isUnderWay)
    }

    // MARK: News

    @Test func newsAreGatheredUntilTheyAreAskedFor() throws {
        let ear = Ear()
        let producer = try attach(registry(), session: 1, ear)
        #expect(ear.count == 1)
        var news = producer.takeNews(session: 1)
        #expect(news?.ready == 0)
        _ = producer.take(range(1, 9), session: 1)
        producer.becameDurable(range(1, 3), refusals: [refusal(2)])
        producer.becameDurable(range(6, 9), refusals: [refusal(7)])
        producer.becameSettled(range(1, 2))
        #expect(ear.count == 2, "one call for all")
        news = producer.takeNews(session: 1)
        #expect(news?.ready == nil && news?.durable == 3 && news?.committed == 2)
        #expect(news?.refusals.map(\.number) == [2, 7])
        producer.becameDurable(range(4, 5))
        #expect(ear.count == 3)
        news = producer.takeNews(session: 1)
        #expect(news?.durable == 9 && news?.refusals == [])
        producer.becameDurable(range(4, 5))
        #expect(ear.count == 3, "nothing new")
    }

    @Test func refusalsThatNobodyAsksForAreBounded() throws {
        let producer = try attach(registry(), session: 1)
        for number in 1...UInt64(Producer.refusalsMax + 5) {
            producer.becameDurable(range(number, number), refusals: [refusal(number)])
        }
        let news = producer.takeNews(session: 1)
        #expect(news?.refusals.count == Producer.refusalsMax && news?.refusalsLeftOut == 5)
    }

    @Test func whatIsSettledFirstIsToldWithItsRefusals() throws {
        let producer = try attach(registry(), session: 1)
        _ = producer.takeNews(session: 1)
        _ = producer.take(range(1, 2), session: 1)
        producer.becameSettled(range(1, 2))
        #expect(producer.takeNews(session: 1)?.committed == 0)
        producer.becameDurable(range(1, 2), refusals: [refusal(2)])
        let news = producer.takeNews(session: 1)
        #expect(news?.durable == 2 && news?.committed == 2 && news?.refusals.map(\.number) == [2])
    }

    // MARK: Sessions

    @Test func aSecondSessionTakesOverAndWaitsForTheRowsOfTheFirst() throws {
        let registry = registry()
        let (first, second) = (Ear(), Ear())
        let producer = try attach(registry, session: 1, first)
        _ = producer.takeNews(session: 1)
        _ = producer.take(range(1, 4), session: 1)
        #expect(try attach(registry, session: 2, second) == producer)
        #expect(first.count == 2)
        #expect(producer.takeNews(session: 1)?.isTakenOver == true)
        #expect(second.count == 0 && producer.takeNews(session: 2) == nil)
        producer.becameDurable(range(1, 3), refusals: [refusal(1)])
        #expect(second.count == 0)
        producer.becameDurable(range(4, 4))
        #expect(second.count == 1)
        let news = producer.takeNews(session: 2)
        #expect(news?.ready == 4 && news?.refusals == [], "refusals are the first session's")
        registry.detach(producer, session: 1)
        #expect(producer.isAttached)
        #expect(producer.take(range(5, 5), session: 2) == (.from(5), 5))
    }

    @Test func aHigherEpochBeginsAnewAndALowerOneIsRefused() throws {
        let registry = registry()
        let ear = Ear()
        let old = try attach(registry, epoch: 1, session: 1, ear)
        let new = try attach(registry, epoch: 2, session: 2)
        #expect(old != new && ear.count == 2)
        #expect(old.takeNews(session: 1)?.isTakenOver == true)
        #expect(new.takeNews(session: 2)?.ready == 0)
        #expect(throws: ProducerRefusal.staleEpoch) { try attach(registry, epoch: 1, session: 3) }
        #expect(registry.find(old.identity) == nil && registry.find(new.identity) == new)
        // A session that had found the old epoch a moment before learns it, too.
        let late = Ear()
        old.attach(session: 4, wake: { late.wake() })
        #expect(late.count == 1 && old.takeNews(session: 4)?.isTakenOver == true)
        #expect(old.take(range(1, 1), session: 4) == (.notOwner, 0))
    }

    @Test func sessionsWithoutNamesHaveNumberingsOfTheirOwn() throws {
        let registry = registry()
        let a = try attach(registry, nil, session: 1)
        let b = try attach(registry, "", session: 2)
        #expect(a != b && !a.identity.isNamed && registry.find(a.identity) == a)
        registry.detach(a, session: 1)
        #expect(registry.find(a.identity) == nil && registry.find(b.identity) == b && registry.count == 0)
    }

    // MARK: Memory

    @Test func whatAnEarlierRunLeftIsGoneOnFrom() throws {
        let registry = registry()
        registry.restore(
            .init(
                identity: .init(name: "w", epoch: 1), lastUse: 0,
                durable: RowIntervals([range(1, 10), range(13, 14)]), unsettled: RowIntervals([range(9, 10)])))
        registry.restore(
            .init(identity: .init(name: "w", epoch: 0), lastUse: 0, durable: RowIntervals([range(1, 99)])))
        let producer = try attach(registry, session: 1)
        let news = producer.takeNews(session: 1)
        #expect(news?.ready == 10 && news?.committed == 8)
        #expect(producer.take(range(11, 16), session: 1) == (.from(11), 12))
        #expect(producer.take(range(13, 16), session: 1) == (.from(15), 16))
        producer.becameSettled(range(9, 10))
        #expect(producer.takeNews(session: 1)?.committed == 10)
        #expect(registry.memories().first?.durable == RowIntervals([range(1, 10), range(13, 14)]))
    }

    @Test func restoringTwiceAddsUp() {
        let registry = registry()
        for runs in [[range(1, 4)], [range(5, 7)]] {
            registry.restore(
                .init(identity: .init(name: "w", epoch: 1), lastUse: 0, durable: RowIntervals(runs)))
        }
        #expect(registry.memories().map(\.durable.contiguous) == [7])
    }

    @Test func onlyNamesThatNobodyUsesAreForgotten() throws {
        let time = ManualTime()
        let registry = registry(producersMax: 2, now: { time.now })
        let kept = try attach(registry, "kept", session: 1)
        let idle = try attach(registry, "idle", session: 2)
        registry.detach(idle, session: 2)
        #expect(throws: ProducerRefusal.tooManyProducers) { try attach(registry, "new", session: 3) }
        time.set(10_001)
        #expect(try attach(registry, "new", session: 3).isAttached)
        #expect(registry.find(kept.identity) == kept && registry.find(idle.identity) == nil)
        time.set(30_000)
        #expect(Set(registry.memories().map(\.identity.name)) == ["kept", "new"])
    }

    private final class ManualTime: Sendable {
        private let value = Mutex<Int64>(0)
        var now: Int64 { value.withLock { $0 } }
        func set(_ now: Int64) { value.withLock { $0 = now } }
    }

    // MARK: Any order

    /// Many threads make rows durable while the session asks: a refusal never comes after the number that covers it.
    @Test(arguments: Seeds.some(6))
    func aRefusalIsNeverLaterThanTheNumberThatCoversIt(seed: UInt64) async throws {
        let rows: UInt64 = 2_000
        let producer = try attach(registry(), session: 1)
        _ = producer.takeNews(session: 1)
        _ = producer.take(range(1, rows), session: 1)
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<4 {
                group.addTask {
                    var random = SeededRandom(seed: seed &+ UInt64(worker))
                    for number in (1...rows) where number % 4 == UInt64(worker) {
                        let refusals = [RowRefusal(number: number, reason: "", column: nil, message: "")]
                        producer.becameDurable(RowRange(first: number, last: number), refusals: refusals)
                        if random.one(in: 8) { await Task.yield() }
                    }
                }
            }
            group.addTask {
                var covered: UInt64 = 0
                var seen = 0
                while covered < rows {
                    guard let news = producer.takeNews(session: 1) else { continue }
                    for refusal in news.refusals {
                        #expect(refusal.number > covered)
                        seen += 1
                    }
                    seen += news.refusalsLeftOut
                    covered = news.durable
                    await Task.yield()
                }
                #expect(seen == Int(rows))
            }
        }
    }

    // MARK: Turned away

    @Test func whatWasTakenFromASessionThatIsSentAwayGoesOn() throws {
        let registry = registry()
        let ear = Ear()
        let producer = try attach(registry, session: 1, ear)
        _ = producer.takeNews(session: 1)
        _ = producer.take(range(1, 4), session: 1)
        producer.becameDurable(range(1, 2))
        producer.turnAway(because: "spool_full")
        #expect(producer.takeNews(session: 1)?.turnedAway == "spool_full")
        #expect(producer.take(range(5, 5), session: 1) == (.notOwner, 0))
        registry.detach(producer, session: 1)
        _ = try attach(registry, session: 2)
        // Rows 3 and 4 are under way: nobody may send them again before it is known what became of them.
        #expect(producer.takeNews(session: 2)?.ready == nil)
        producer.becameDurable(range(3, 4))
        #expect(producer.takeNews(session: 2)?.ready == 4)
    }

    @Test func aClosedRegistryLetsNobodyIn() throws {
        let registry = registry()
        registry.setClosed(true)
        #expect(throws: ProducerRefusal.spoolFull) { try attach(registry, session: 1) }
        registry.setClosed(false)
        #expect(try attach(registry, session: 1).takeNews(session: 1)?.ready == 0)
    }

    @Test func aProducerThatNobodyKnowsBeginsWhereItIs() throws {
        let registry = registry()
        let producer = try attach(registry, session: 1)
        #expect(producer.take(range(100, 109), session: 1) == (.from(100), 109))
        #expect(producer.covered(by: range(100, 109)) == range(1, 109))
        #expect(producer.covered(by: range(110, 111)) == range(110, 111))
        #expect(producer.durable.contiguous == 99)
        #expect(producer.take(range(111, 111), session: 1) == (.gap(expected: 110), 0))
        // Without a name there is no earlier session.
        let unnamed = try attach(registry, nil, session: 2)
        #expect(unnamed.take(range(2, 2), session: 2) == (.gap(expected: 1), 0))
    }
}
