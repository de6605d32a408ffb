import Pipeline
import TestSupport
import Testing

@testable import Sinks

@Suite struct CircuitBreakerTests {
    private let start = StageClock.Instant.now

    private func opened() -> CircuitBreaker {
        var breaker = CircuitBreaker(failuresMax: 5, openTime: .seconds(30))
        for _ in 0..<5 { breaker.failed(now: start) }
        return breaker
    }

    @Test func itOpensAfterFiveFailuresInARowAndNotBefore() {
        var breaker = CircuitBreaker(failuresMax: 5, openTime: .seconds(30))
        for _ in 0..<4 { breaker.failed(now: start) }
        #expect(breaker.begin(now: start) == .yes)
        breaker.succeeded()
        for _ in 0..<4 { breaker.failed(now: start) }
        #expect(breaker.begin(now: start) == .yes)
        // An answer to something else does not make failures undone.
        breaker.answered()
        breaker.failed(now: start)
        #expect(breaker.begin(now: start) == .no(until: start + .seconds(30)))
        #expect(breaker.telemetryState == .open)
    }

    @Test func oneProbeIsAdmittedAndDecides() {
        var breaker = opened()
        #expect(breaker.begin(now: start + .seconds(29)) == .no(until: start + .seconds(30)))
        #expect(breaker.admission(now: start + .seconds(30)) == .probe)
        #expect(breaker.begin(now: start + .seconds(30)) == .probe)
        #expect(breaker.begin(now: start + .seconds(31)) == .no(until: nil))
        #expect(breaker.telemetryState == .halfOpen)
        breaker.failed(now: start + .seconds(32))
        #expect(breaker.begin(now: start + .seconds(61)) == .no(until: start + .seconds(62)))
        #expect(breaker.begin(now: start + .seconds(62)) == .probe)
        breaker.succeeded()
        #expect(breaker.begin(now: start + .seconds(62)) == .yes)
        #expect(breaker.telemetryState == .closed)
    }

    @Test func aProbeThatEndsWithoutAWordLetsTheNextOneTry() {
        var breaker = opened()
        #expect(breaker.begin(now: start + .seconds(30)) == .probe)
        breaker.abandoned(now: start + .seconds(31))
        #expect(breaker.begin(now: start + .seconds(31)) == .probe)
        breaker.answered()
        #expect(breaker.begin(now: start + .seconds(31)) == .yes)
    }

    @Test func lateFailuresDoNotMakeItLonger() {
        var breaker = opened()
        breaker.failed(now: start + .seconds(20))
        #expect(breaker.begin(now: start + .seconds(30)) == .probe)
    }
}

@Suite struct ConnectionPoolTests {
    private typealias Pool = ConnectionPool<Int>
    private let start = StageClock.Instant.now

    private func pool(
        _ hosts: Int = 3, _ policy: ClickHouseSettings.LoadBalancing = .inOrder, openMax: Int = 10, idleMax: Int = 5
    ) -> Pool {
        Pool(
            hosts: hosts, policy: policy,
            limits: .init(
                openMax: openMax, idleMax: idleMax, lifetime: .seconds(7200), breakerFailuresMax: 5,
                breakerOpenTime: .seconds(30)))
    }

    private func host(
        of pool: inout Pool, avoiding: Int? = nil, tried: Set<Int> = [], random: Double = 0
    ) -> Int? {
        switch pool.next(avoiding: avoiding, tried: tried, now: start, random: { random }) {
        case .use(let ticket, _), .open(let ticket): ticket.host
        case .wait, .allOpen, .exhausted: nil
        }
    }

    @Test func thePolicyChoosesTheHost() {
        var inOrder = pool()
        #expect((0..<3).map { _ in host(of: &inOrder) } == [0, 0, 0])
        #expect(host(of: &inOrder, avoiding: 0) == 1)
        #expect(host(of: &inOrder, tried: [0, 1]) == 2)
        #expect(host(of: &inOrder, tried: [0, 1, 2]) == nil)
        var alone = pool(1)
        #expect(host(of: &alone, avoiding: 0) == 0)
        var roundRobin = pool(3, .roundRobin)
        #expect((0..<5).map { _ in host(of: &roundRobin) } == [0, 1, 2, 0, 1])
        var least = pool(3, .leastInFlight)
        #expect((0..<4).map { _ in host(of: &least) } == [0, 1, 2, 0])
        var random = pool(3, .random)
        #expect(host(of: &random, random: 0.99) == 0)
        #expect(host(of: &random, random: 0) == 1)
    }

    @Test func connectionsAreUsedAgainUntilTheyAreOld() throws {
        var pool = pool(1)
        guard case .open(let ticket) = pool.next(avoiding: nil, tried: [], now: start, random: { 0 }) else {
            Issue.record("a connection is opened")
            return
        }
        let isKept = pool.returned(ticket, 7, isUsable: true, .succeeded, now: start)
        #expect(isKept)
        guard
            case .use(let again, 7) = pool.next(
                avoiding: nil, tried: [], now: start + .seconds(7199), random: { 0 })
        else {
            Issue.record("it is used again")
            return
        }
        let isKeptStill = pool.returned(again, 7, isUsable: true, .succeeded, now: start + .seconds(7200))
        #expect(!isKeptStill)
        #expect(pool.openCount == 0)
    }

    @Test func idleOnesAreClosedWhenTheyAreOldOrInTheWay() {
        var pool = pool(2, .inOrder, openMax: 2, idleMax: 2)
        guard case .open(let first) = pool.next(avoiding: nil, tried: [], now: start, random: { 0 }),
            case .open(let second) = pool.next(avoiding: nil, tried: [], now: start, random: { 0 })
        else { return }
        guard case .wait = pool.next(avoiding: nil, tried: [], now: start, random: { 0 }) else {
            Issue.record("there is no room")
            return
        }
        _ = pool.returned(first, 1, isUsable: true, .succeeded, now: start)
        _ = pool.returned(second, 2, isUsable: true, .succeeded, now: start)
        #expect(pool.idleCount == 2)
        #expect(host(of: &pool, avoiding: 0) == 1)
        #expect(pool.takeDoomed() == [1])
        pool.expire(now: start + .seconds(7200))
        #expect(pool.takeDoomed() == [2])
        #expect(pool.idleCount == 0)
    }

    @Test func noHostIsTriedWhileAllAreLeftAlone() {
        var pool = pool(2)
        for host in 0..<2 {
            for _ in 0..<5 {
                guard
                    case .open(let ticket) = pool.next(
                        avoiding: nil, tried: host == 0 ? [1] : [0], now: start + .seconds(host), random: { 0 })
                else { return }
                pool.openingFailed(ticket, .failed, now: start + .seconds(host))
            }
        }
        guard case .allOpen(let until) = pool.next(avoiding: nil, tried: [], now: start + .seconds(2), random: { 0 })
        else {
            Issue.record("all are left alone")
            return
        }
        #expect(until == start + .seconds(30))
        guard case .open(let probe) = pool.next(avoiding: nil, tried: [], now: until, random: { 0 }) else { return }
        #expect(probe.isProbe && probe.host == 0)
        guard case .allOpen(let next) = pool.next(avoiding: nil, tried: [], now: until, random: { 0 }) else {
            Issue.record("one probe at a time")
            return
        }
        #expect(next == until + Pool.probeInterval)
    }

    /// Whatever happens in whatever order: bounds hold, nothing is handed out twice, and nothing is forgotten.
    @Test(arguments: Seeds.some(50))
    func boundsHoldWhateverHappens(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let openMax = random.int(1...12)
        let idleMax = random.int(0...6)
        let policies = ClickHouseSettings.LoadBalancing.allCases
        var pool = pool(random.int(1...4), policies[random.int(0...3)], openMax: openMax, idleMax: idleMax)
        var now = start
        var opening: [Pool.Ticket] = []
        var inUse: [(ticket: Pool.Ticket, connection: Int)] = []
        var alive: Set<Int> = []
        var last = 0
        for _ in 0..<2000 {
            now += .milliseconds(random.int(0...600_000) / (random.one(in: 20) ? 1 : 1000))
            let outcomes: [Pool.Outcome] = [.succeeded, .answered, .failed, .failed, .abandoned]
            let outcome = outcomes[random.int(0...4)]
            switch random.int(0...4) {
            case 0, 1:
                let avoided = random.one(in: 3) ? 0 : nil
                var dice = random
                switch pool.next(avoiding: avoided, tried: [], now: now, random: { Double(dice.int(0...999)) / 1000 }) {
                case .open(let ticket): opening.append(ticket)
                case .use(let ticket, let connection):
                    #expect(
                        alive.contains(connection) && !inUse.contains { $0.connection == connection }, "seed \(seed)")
                    inUse.append((ticket, connection))
                case .wait: #expect(inUse.count + opening.count >= openMax, "seed \(seed)")
                case .allOpen(let until): #expect(until > now, "seed \(seed)")
                case .exhausted: Issue.record("nothing was tried, seed \(seed)")
                }
                _ = random.next()
            case 2 where !opening.isEmpty:
                let ticket = opening.remove(at: random.int(0...opening.count - 1))
                if random.one(in: 2) {
                    pool.openingFailed(ticket, outcome == .succeeded ? .failed : outcome, now: now)
                } else {
                    last += 1
                    alive.insert(last)
                    inUse.append((ticket, last))
                }
            case 3 where !inUse.isEmpty:
                let (ticket, connection) = inUse.remove(at: random.int(0...inUse.count - 1))
                let isKept = pool.returned(ticket, connection, isUsable: !random.one(in: 4), outcome, now: now)
                if !isKept { alive.remove(connection) }
            case 4 where !inUse.isEmpty && random.one(in: 5): pool.ended(inUse[0].ticket)
            default: break
            }
            for connection in pool.takeDoomed() {
                let wasAlive = alive.remove(connection) != nil
                #expect(wasAlive, "seed \(seed)")
            }
            #expect(pool.openCount <= openMax && pool.idleCount <= idleMax, "seed \(seed)")
            #expect(alive.count == pool.idleCount + inUse.count, "seed \(seed)")
        }
    }
}
