import NIOConcurrencyHelpers

/// All numberings that are known: those of sessions that are open, and named ones for as long as the spool remembers them.
public final class ProducerRegistry: Sendable {
    /// A named numbering as the spool keeps it.
    public struct Memory: Hashable, Sendable {
        public let identity: Producer.Identity
        /// Milliseconds since 1970.
        public let lastUse: Int64
        public let durable: RowIntervals
        /// Of the durable rows, those that are not settled: what `committed` acks wait for.
        public let unsettled: RowIntervals

        public init(
            identity: Producer.Identity, lastUse: Int64, durable: RowIntervals,
            unsettled: RowIntervals = RowIntervals()
        ) {
            self.identity = identity
            self.lastUse = lastUse
            self.durable = durable
            self.unsettled = unsettled
        }
    }

    private struct Named: Sendable {
        var producer: Producer
        var lastUse: Int64
    }

    private struct State: Sendable {
        /// Nobody is let in.
        var isClosed = false
        var named: [String: Named] = [:]
        var unnamed: [UInt64: Producer] = [:]
    }

    /// Names that are remembered at once.
    public let producersMax: Int
    /// A name that was not used for so long is forgotten, in milliseconds.
    public let ageMax: Int64
    private let state = NIOLockedValueBox(State())
    private let wallClock: @Sendable () -> Int64
    private let random: @Sendable () -> UInt64

    /// - Parameter wallClock: milliseconds since 1970.
    public init(
        producersMax: Int = 10_000, ageMax: Duration = .seconds(7 * 86_400),
        wallClock: @escaping @Sendable () -> Int64,
        random: @escaping @Sendable () -> UInt64 = { .random(in: 1 ... .max) }
    ) {
        self.producersMax = producersMax
        self.ageMax = Int64(ageMax.milliseconds)
        self.wallClock = wallClock
        self.random = random
    }

    // MARK: Sessions

    /// A session wants to number its rows.
    ///
    /// - Parameters:
    ///   - name: nil for a session without a name.
    ///   - wake: see `Producer.attach`; `takeNews` then says whether rows may come.
    public func attach(
        name: String?, epoch: UInt64, session: UInt64, wake: @escaping @Sendable () -> Void
    ) -> Result<Producer, ProducerRefusal> {
        let found = state.withLockedValue { state -> Result<(Producer, replaced: Producer?), ProducerRefusal> in
            if state.isClosed { return .failure(.spoolFull) }
            guard let name, !name.isEmpty else {
                var epoch = random()
                while state.unnamed[epoch] != nil { epoch = random() }
                let producer = Producer(Producer.Identity(name: "", epoch: epoch))
                state.unnamed[epoch] = producer
                return .success((producer, nil))
            }
            let now = wallClock()
            guard let known = state.named[name] else {
                if state.named.count >= producersMax, !forgetOldest(&state, now: now) {
                    return .failure(.tooManyProducers)
                }
                let producer = Producer(Producer.Identity(name: name, epoch: epoch))
                state.named[name] = Named(producer: producer, lastUse: now)
                return .success((producer, nil))
            }
            guard epoch >= known.producer.identity.epoch else { return .failure(.staleEpoch) }
            if epoch == known.producer.identity.epoch {
                state.named[name]?.lastUse = now
                return .success((known.producer, nil))
            }
            let producer = Producer(Producer.Identity(name: name, epoch: epoch))
            state.named[name] = Named(producer: producer, lastUse: now)
            return .success((producer, known.producer))
        }
        switch found {
        case .failure(let refusal): return .failure(refusal)
        case .success(let (producer, replaced)):
            replaced?.takeOver()
            producer.attach(session: session, wake: wake)
            return .success(producer)
        }
    }

    /// A session has ended, and hears nothing more.
    public func detach(_ producer: Producer, session: UInt64) {
        let isFree = producer.detach(session: session)
        guard !producer.identity.isNamed else {
            let now = wallClock()
            state.withLockedValue { state in
                if state.named[producer.identity.name]?.producer === producer {
                    state.named[producer.identity.name]?.lastUse = now
                }
            }
            return
        }
        if isFree { state.withLockedValue { _ = $0.unnamed.removeValue(forKey: producer.identity.epoch) } }
    }

    /// While it is closed, sessions that want to number their rows are refused.
    func setClosed(_ isClosed: Bool) { state.withLockedValue { $0.isClosed = isClosed } }

    // MARK: The spool

    /// The producer that a record names, if anybody may still ask for it.
    public func find(_ identity: Producer.Identity) -> Producer? {
        state.withLockedValue { state in
            guard identity.isNamed else { return state.unnamed[identity.epoch] }
            guard let known = state.named[identity.name], known.producer.identity == identity else { return nil }
            return known.producer
        }
    }

    /// Takes up what an earlier run left. Of two epochs the higher one counts.
    public func restore(_ memory: Memory) {
        guard memory.identity.isNamed else { return }
        state.withLockedValue { state in
            if let known = state.named[memory.identity.name] {
                let epoch = known.producer.identity.epoch
                if epoch > memory.identity.epoch { return }
                if epoch == memory.identity.epoch {
                    known.producer.restore(memory.durable, unsettled: memory.unsettled)
                    state.named[memory.identity.name]?.lastUse = max(known.lastUse, memory.lastUse)
                    return
                }
            }
            state.named[memory.identity.name] = Named(
                producer: Producer(memory.identity, durable: memory.durable, unsettled: memory.unsettled),
                lastUse: memory.lastUse)
        }
    }

    /// Takes up rows that a record has.
    func restore(_ span: ProducerSpan) {
        let rows = RowIntervals(CollectionOfOne(span.range))
        restore(Memory(identity: span.identity, lastUse: wallClock(), durable: rows, unsettled: rows))
    }

    /// What the spool has to remember: the names that were used lately.
    public func memories() -> [Memory] {
        let now = wallClock()
        return state.withLockedValue { state in
            for (name, known) in state.named where now - known.lastUse > ageMax && known.producer.isIdle {
                state.named[name] = nil
            }
            return state.named.values.map { known in
                let durable = known.producer.durable
                return Memory(
                    identity: known.producer.identity, lastUse: known.lastUse, durable: durable,
                    unsettled: durable.subtracting(known.producer.committed))
            }
        }
    }

    /// Names that are known.
    public var count: Int { state.withLockedValue { $0.named.count } }

    /// For whoever looks: at most `ProducerStatus.shownMax`, those that are connected first.
    public func list() -> ProducerList {
        let now = wallClock()
        // Looked at outside of the lock, which sessions wait for.
        let (named, unnamed) = state.withLockedValue { (Array($0.named.values), Array($0.unnamed.values)) }
        let all =
            named.map { $0.producer.status(lastUse: $0.lastUse, now: now) }
            + unnamed.map { $0.status(lastUse: now, now: now) }
        var list = ProducerList()
        list.known = all.count
        list.connected = all.count(where: \.isConnected)
        let ordered = all.sorted { a, b in
            if a.isConnected != b.isConnected { return a.isConnected }
            if a.lastSeen != b.lastSeen { return a.lastSeen > b.lastSeen }
            return (a.name ?? "\u{10FFFF}") < (b.name ?? "\u{10FFFF}")
        }
        list.shown = Array(ordered.prefix(ProducerStatus.shownMax))
        return list
    }

    private func forgetOldest(_ state: inout State, now: Int64) -> Bool {
        let idle = state.named.filter { $0.value.producer.isIdle }
        guard let oldest = idle.min(by: { $0.value.lastUse < $1.value.lastUse }), now - oldest.value.lastUse > ageMax
        else { return false }
        state.named[oldest.key] = nil
        return true
    }
}

extension Producer {
    fileprivate var isIdle: Bool { !isAttached && !isUnderWay }
}
