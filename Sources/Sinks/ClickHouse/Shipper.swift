import ClickHouseNative
import Logging
import Pipeline

/// Takes one block after the other, and does not let go of it before it is settled. Connections are borrowed for each
/// attempt. As many shippers as blocks may be in flight.
struct Shipper: Sendable {
    let shared: ShippingContext

    init(_ shared: ShippingContext) { self.shared = shared }

    private var settings: ClickHouseSettings { shared.servers.settings }

    /// Ends when the input does and everything is settled, when there are more shippers than wanted, or at once when cancelled.
    func run() async throws -> ShipperCrew.Reason {
        while !shared.crew.mayLeave() {
            guard let block = await shared.input.next() else {
                try Task.checkCancellation()
                return .inputEnded
            }
            shared.rowsHeld.add(block.rows)
            shared.traffic.saw(block.table, now: shared.clock.now)
            try await settle(block)
        }
        return .surplus
    }

    // MARK: One block

    /// A block as it came, and what is left of it once it was split: a stack, so that few pieces are in memory at once.
    ///
    /// - Throws: `CancellationError` only; what was not settled is then still held.
    private func settle(_ block: EncodedBlock) async throws {
        var left = [block]
        var split = SplitProgress()
        while let piece = left.popLast() {
            let pieces = try await deliver(piece, &split)
            if pieces.isEmpty { shared.rowsHeld.subtract(piece.rows) }
            left += pieces.reversed()
        }
    }

    /// Sends a block until it is settled.
    ///
    /// - Returns: Empty, or the pieces that it was replaced by.
    private func deliver(_ block: EncodedBlock, _ split: inout SplitProgress) async throws -> [EncodedBlock] {
        var attempts = Attempts(backoff: shared.backoff(), isInDoubt: block.mayHaveBeenSent)
        var sending = Sending(block)
        while true {
            try Task.checkCancellation()
            if isSetAside(block, attempts) { return [] }
            let lease = try await lease(for: block, &attempts)
            let error: any Error
            do {
                let isAgain = try await insert(&sending, isInDoubt: attempts.isInDoubt, over: lease)
                await shared.servers.giveBack(lease, .succeeded)
                if isAgain {
                    attempts.isInDoubt = true
                    continue
                }
                lease.host.committedBlocks.add()
                await committed(block)
                return []
            } catch let thrown {
                error = thrown
            }
            let isCancelled = error is CancellationError || Task.isCancelled
            await shared.servers.giveBack(
                lease, isCancelled ? .abandoned : error.outcomeForHost(otherwise: .succeeded), error: error)
            if isCancelled { throw CancellationError() }
            if error.leavesBlockInDoubt { attempts.isInDoubt = true }

            var verdict = InsertVerdict(error, overrides: settings.errors)
            if case .checkStructure(let refusal) = verdict {
                switch try await fitted(block, refusal, over: lease, &attempts) {
                case .verdict(let found): verdict = found
                case .replaced(let pieces): return pieces
                }
            }
            if case .retryOften(let refusal) = verdict {
                attempts.unknownErrors += 1
                if attempts.unknownErrors >= InsertVerdict.unknownErrorAttemptsMax { verdict = .refuse(refusal) }
            }
            if case .succeeded = error.outcomeForHost(otherwise: .succeeded) { attempts.tableRefusals += 1 }
            switch verdict {
            case .split(let cause, let refusal):
                if !attempts.isInDoubt, let pieces = try await pieces(of: block, cause, &split, &attempts) {
                    return pieces
                }
                if await refused(block, refusal, &split, attempts) { return [] }
            case .refuse(let refusal):
                if await refused(block, refusal, &split, attempts) { return [] }
            case .backOff(let isParts):
                if isParts {
                    shared.pressure.complained(of: block.table, now: shared.clock.now)
                } else {
                    attempts.avoidedHost = lease.hostNumber
                }
            case .retry(let elsewhere): if elsewhere { attempts.avoidedHost = lease.hostNumber }
            case .retryOften, .checkStructure: attempts.tableRefusals = 0
            case .cancelled: throw CancellationError()
            }
            if isSetAside(block, attempts) {
                shared.logger.warning(
                    "block set aside: its table takes nothing for now, other tables go on",
                    metadata: block.metadata.merging(["error": "\(error)"]) { $1 })
                return []
            }
            if case .backOff = verdict {
                try await wait(&attempts, overloaded: true, block, error)
            } else {
                try await wait(&attempts, overloaded: false, block, error)
            }
        }
    }

    /// - Returns: Whether there is something left to send: see `Sending`.
    private func insert(_ sending: inout Sending, isInDoubt: Bool, over lease: Lease) async throws -> Bool {
        let block = sending.block
        let summary = try await insert(block, isInDoubt: isInDoubt, over: lease)
        let database = block.table.database ?? settings.database
        let duplicates = summary.duplicates.filter { $0.isOf(database: database, table: block.table.table) }
        guard !duplicates.isEmpty else { return false }
        var found: (finding: DuplicateFinding, lost: [Int]) = (.unclear, [])
        if !summary.hasFurtherDuplicates {
            do {
                found = try await shared.look(for: duplicates, of: block, over: lease)
            } catch {
                if sending.mayLookAgain(after: error) { throw error }
                shared.logger.warning(
                    "a block was called a duplicate, and whether its rows are in the table cannot be told; it takes SELECT on system.parts and on the table",
                    metadata: block.metadata.merging(["error": "\(error)"]) { $1 })
            }
        }
        let step = try await sending.take(found.finding, lost: found.lost, duplicates: duplicates.count) {
            try await partitions(of: $0, block.table)
        }
        switch step {
        case .done(let finding):
            shared.telemetry.duplicateBlocks.add(reason: finding.rawValue)
            return false
        case .again:
            shared.telemetry.duplicateBlocks.add(reason: found.finding.rawValue)
            shared.logger.warning(
                "the server knew a block's token and had lost its rows: they are sent once more",
                metadata: block.metadata.merging(["parts": "\(found.lost.count)"]) { $1 })
            return true
        }
    }

    private func insert(_ block: EncodedBlock, isInDoubt: Bool, over lease: Lease) async throws -> InsertSummary {
        let bytes = try block.bytes(for: lease.native.revision)
        let telemetry = shared.telemetry
        let host = lease.host
        telemetry.blocksInFlight.add()
        telemetry.rowsInFlight.add(block.rows)
        host.blocksInFlight.add()
        defer {
            telemetry.blocksInFlight.subtract()
            telemetry.rowsInFlight.subtract(block.rows)
            host.blocksInFlight.subtract()
        }
        let start = shared.clock.now
        do {
            let summary = try await lease.native.insert(
                lease.insert.query(
                    for: block, to: lease.native.hello, compression: block.encoding.compression, isInDoubt: isInDoubt,
                    reading: block.layout.hasJSON ? shared.reading(block.table) : [:]),
                columns: block.layout.columns, bytes: bytes, timeout: settings.insertTimeout)
            telemetry.insertLatency.observe(shared.clock.now - start)
            return summary
        } catch {
            if !Task.isCancelled {
                var isOfRows = false
                if case .split = InsertVerdict(error, overrides: settings.errors) { isOfRows = true }
                shared.servers.health.insertFailed(Telemetry.InsertErrorType(error), isOfRows: isOfRows)
            }
            throw error
        }
    }

    private func committed(_ block: EncodedBlock) async {
        let telemetry = shared.telemetry
        telemetry.committed(rows: block.rows, bytes: block.rawBytes, into: telemetry.table(block.table))
        telemetry.endToEndLatency.observe(shared.clock.now - block.firstReceived)
        shared.servers.health.insertSucceeded()
        await shared.handlers.committed(block)
    }

    /// - Returns: Whether somebody took the block.
    private func refused(
        _ block: EncodedBlock, _ refusal: BlockRefusal, _ split: inout SplitProgress, _ attempts: Attempts
    ) async -> Bool {
        let refusal = split.refusal(refusal, of: block, attempts)
        shared.logger.error(
            "block refused", metadata: block.metadata.merging(["reason": "\(refusal)"]) { $1 })
        do {
            try await shared.handlers.refused(block, refusal)
            shared.telemetry.deadLetteredRows.add(block.rows)
            split.refused(refusal)
            return true
        } catch {
            shared.logger.error(
                "refused block cannot be kept elsewhere, it is tried again",
                metadata: block.metadata.merging(["error": "\(error)"]) { $1 })
            return false
        }
    }

    // MARK: Pieces

    /// Cuts a block up, once its pieces are known by something of their own.
    ///
    /// - Returns: nil when it cannot be cut up, or not any further.
    private func pieces(
        of block: EncodedBlock, _ cause: InsertVerdict.Cause, _ split: inout SplitProgress, _ attempts: inout Attempts
    ) async throws -> [EncodedBlock]? {
        guard block.rows > 1, split.mayGoOn(cause, settings), let rows = try? block.decoded() else { return nil }
        let selections: [RowSelection]
        switch cause {
        case .rows: selections = BlockSplitting.halves(rows.rows)
        case .partitions:
            if let found = try await partitions(of: rows, block.table) {
                guard let pieces = BlockSplitting.pieces(found, partitionsMax: settings.partitionsMax) else {
                    return nil
                }
                selections = pieces
            } else {
                guard split.mayHalveBlindly(block) else { return nil }
                selections = BlockSplitting.halves(rows.rows)
            }
        }
        let identities = try await identities(block, selections, &attempts)
        shared.telemetry.splitBlocks.add(reason: cause.rawValue)
        shared.logger.notice(
            "block is sent in pieces",
            metadata: block.metadata.merging(["reason": "\(cause.rawValue)", "pieces": "\(selections.count)"]) { $1 })
        var pieces: [EncodedBlock] = []
        for (selection, identity) in zip(selections, identities) {
            pieces.append(try block.piece(rows.gathering(selection), identity))
        }
        return pieces
    }

    /// The partition of each row, as numbers of our own; nil: the key is none that is understood here.
    private func partitions(of rows: Block, _ table: TableName) async throws -> [Int]? {
        guard let text = try await shared.catalog.partitionKey(of: table), let key = PartitionKey(parsing: text) else {
            return nil
        }
        let zone = try? await shared.catalog.structure(of: table).timeZone
        try Task.checkCancellation()
        return key.partitions(of: rows, timeZone: zone ?? "UTC")
    }

    func identities(
        _ block: EncodedBlock, _ selections: [RowSelection], _ attempts: inout Attempts
    ) async throws -> [BlockIdentity] {
        while true {
            try Task.checkCancellation()
            do {
                let identities = try await shared.handlers.split(block, selections)
                precondition(identities.count == selections.count, "an identity for each piece")
                return identities
            } catch {
                if Task.isCancelled { throw CancellationError() }
                try await wait(&attempts, overloaded: false, block, error)
            }
        }
    }

    // MARK: Waiting

    /// Sets a block aside whose table takes nothing for now, though the server does, and which would hold up other tables' blocks: after as
    /// many refusals as show that it is the table, or without an attempt where that is known.
    private func isSetAside(_ block: EncodedBlock, _ attempts: Attempts) -> Bool {
        guard let setAside = shared.handlers.setAside else { return false }
        let hosts = settings.hosts.count
        let isReturned = setAside.isReturned(block.id)
        let wasRefused = attempts.tableRefusals >= max(hosts, isReturned ? 1 : Attempts.tableRefusalsMax)
        guard isReturned ? wasRefused : wasRefused || setAside.isRefusing(block.table, block: block.id) else {
            return false
        }
        guard isReturned || shared.traffic.hasOthers(than: block.table, now: shared.clock.now) else { return false }
        return setAside.put(
            block.id, rows: block.rows, of: block.table, wasTried: wasRefused, mayHaveBeenSent: attempts.isInDoubt)
    }

    /// Waits until some host lets us in, whatever they say: no block is at fault when a password is.
    private func lease(for block: EncodedBlock, _ attempts: inout Attempts) async throws -> Lease {
        while true {
            do {
                return try await shared.servers.borrow(avoiding: attempts.avoidedHost)
            } catch let error as HostsUnavailable {
                shared.logger.warning(
                    "no host may be tried for now", metadata: block.metadata.merging(["error": "\(error)"]) { $1 })
                try await shared.servers.wait(after: error)
            } catch {
                if error is CancellationError || Task.isCancelled { throw CancellationError() }
                let isOverloaded = (error as? ConnectionError)?.exception?.code.treatment == .backOff
                try await wait(&attempts, overloaded: isOverloaded, block, error)
            }
        }
    }

    private func wait(
        _ attempts: inout Attempts, overloaded: Bool, _ block: EncodedBlock, _ error: any Error
    ) async throws {
        let delay = attempts.backoff.next(overloaded: overloaded)
        shared.logger.warning(
            "block not shipped yet, it is tried again",
            metadata: block.metadata.merging(
                [
                    "error": "\(error)", "attempt": "\(attempts.backoff.attempts)",
                    "wait_ms": "\(Int(delay.milliseconds))",
                ]) { $1 })
        try await shared.clock.sleep(for: delay)
    }
}

/// What the attempts at a block have come to.
struct Attempts: Sendable {
    /// So many refusals of a block that pass are taken for a matter of its table.
    static let tableRefusalsMax = 3

    var backoff: Backoff
    var unknownErrors = 0
    /// Refusals that pass, by servers that do their part otherwise.
    var tableRefusals = 0
    /// The host that failed last.
    var avoidedHost: Int?
    /// The table may have the block, or a part of it: it may be sent again, but not in pieces.
    var isInDoubt: Bool
}
