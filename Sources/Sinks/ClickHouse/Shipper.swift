import ClickHouseNative
import Logging
import Pipeline

/// One connection's worth of shipping: takes a block, and does not let go of it before it is settled.
actor Shipper {
    private let shared: ShippingContext
    private var connection: LeasedConnection?
    /// The host to begin with on the next connect.
    private var hostNumber = 0

    init(_ shared: ShippingContext) { self.shared = shared }

    /// Ends when the input does and everything is settled, or at once when cancelled.
    func run() async throws {
        do {
            while let block = await shared.input.next() {
                shared.rowsHeld.add(block.rows)
                try await settle(block)
                shared.rowsHeld.subtract(block.rows)
            }
            await disconnect()
            try Task.checkCancellation()
        } catch {
            await disconnect()
            throw error
        }
    }

    // MARK: One block

    /// - Throws: `CancellationError` only; the block is then still held.
    private func settle(_ block: EncodedBlock) async throws {
        var backoff = shared.backoff()
        var unknownErrors = 0
        while true {
            try Task.checkCancellation()
            let leased = try await connected(&backoff, for: block)
            let error: any Error
            do {
                try await insert(block, over: leased)
                await committed(block)
                return
            } catch let thrown {
                if thrown is CancellationError || Task.isCancelled { throw CancellationError() }
                error = thrown
            }
            var verdict = InsertVerdict(error)
            if case .checkStructure(let refusal) = verdict { verdict = try await checked(block, refusal) }
            if case .retryOften(let refusal) = verdict {
                unknownErrors += 1
                if unknownErrors >= InsertVerdict.unknownErrorAttemptsMax { verdict = .refuse(refusal) }
            }
            switch verdict {
            case .refuse(let refusal):
                if await refused(block, refusal) { return }
                try await wait(&backoff, overloaded: false, block, error)
            case .backOff: try await wait(&backoff, overloaded: true, block, error)
            case .retry(let elsewhere):
                if elsewhere { await moveOn() }
                try await wait(&backoff, overloaded: false, block, error)
            case .retryOften, .checkStructure: try await wait(&backoff, overloaded: false, block, error)
            case .cancelled: throw CancellationError()
            }
        }
    }

    private func insert(_ block: EncodedBlock, over leased: LeasedConnection) async throws {
        let body = try block.body(for: leased.native.revision)
        let telemetry = shared.telemetry
        telemetry.blocksInFlight.add()
        telemetry.rowsInFlight.add(block.rows)
        defer {
            telemetry.blocksInFlight.subtract()
            telemetry.rowsInFlight.subtract(block.rows)
        }
        let start = shared.clock.now
        do {
            _ = try await leased.native.insert(
                shared.insert.query(for: block, compression: block.encoding.compression),
                columns: block.layout.columns, body: body, timeout: shared.servers.settings.insertTimeout)
        } catch {
            if !Task.isCancelled { shared.servers.health.insertFailed(Telemetry.InsertErrorType(error)) }
            throw error
        }
        telemetry.insertLatency.observe(shared.clock.now - start)
    }

    private func committed(_ block: EncodedBlock) async {
        let telemetry = shared.telemetry
        telemetry.committed(rows: block.rows, bytes: block.rawBytes, into: telemetry.table(block.table))
        telemetry.endToEndLatency.observe(shared.clock.now - block.firstReceived)
        shared.servers.health.insertSucceeded()
        await shared.handlers.committed(block)
    }

    /// - Returns: Whether somebody took the block.
    private func refused(_ block: EncodedBlock, _ refusal: BlockRefusal) async -> Bool {
        shared.logger.error(
            "block refused", metadata: block.metadata.merging(["reason": "\(refusal)"]) { $1 })
        do {
            try await shared.handlers.refused(block, refusal)
            shared.telemetry.deadLetteredRows.add(block.rows)
            return true
        } catch {
            shared.logger.error(
                "refused block cannot be kept elsewhere, it is tried again",
                metadata: block.metadata.merging(["error": "\(error)"]) { $1 })
            return false
        }
    }

    /// The server wants other columns than the block has, or says so. Only what the table is now can tell whether that
    /// is still true.
    private func checked(_ block: EncodedBlock, _ refusal: BlockRefusal) async throws -> InsertVerdict {
        do {
            let structure = try await shared.catalog.refresh(block.table)
            let types = Dictionary(
                structure.columns.map { ($0.definition.name, $0.definition.type) },
                uniquingKeysWith: { first, _ in first })
            let misfit = block.layout.columns.first { types[$0.name] != $0.type }
            guard let misfit else { return .retryOften(orRefuse: refusal) }
            let now = types[misfit.name].map { "is \($0) now" } ?? "is gone"
            return .refuse(
                BlockRefusal(
                    .structureChanged, code: refusal.code,
                    message: "column \(misfit.name) of type \(misfit.type) \(now). \(refusal.message)"))
        } catch let error as CatalogError {
            return .refuse(BlockRefusal(.table, code: refusal.code, message: error.message))
        }
    }

    // MARK: The connection

    /// Waits until some host lets us in, whatever they say: no block is at fault when a password is.
    private func connected(_ backoff: inout Backoff, for block: EncodedBlock) async throws -> LeasedConnection {
        if let connection, connection.native.isOpen { return connection }
        connection = nil
        while true {
            do {
                let new = try await shared.servers.connect(startingAt: hostNumber)
                connection = new
                hostNumber = new.hostNumber
                return new
            } catch {
                try Task.checkCancellation()
                let isOverloaded = error.exception?.code.treatment == .backOff
                try await wait(&backoff, overloaded: isOverloaded, block, error)
            }
        }
    }

    /// The next attempt goes to another host, if there is one. With one host the connection stays, if it still can.
    private func moveOn() async {
        guard shared.servers.settings.hosts.count > 1 else { return }
        hostNumber = (hostNumber + 1) % shared.servers.settings.hosts.count
        await disconnect()
    }

    private func disconnect() async {
        let ended = connection
        connection = nil
        await ended?.close()
    }

    private func wait(
        _ backoff: inout Backoff, overloaded: Bool, _ block: EncodedBlock, _ error: any Error
    ) async throws {
        let delay = backoff.next(overloaded: overloaded)
        shared.logger.warning(
            "block not shipped yet, it is tried again",
            metadata: block.metadata.merging(
                ["error": "\(error)", "attempt": "\(backoff.attempts)", "wait_ms": "\(Int(delay.milliseconds))"]) { $1 }
        )
        try await shared.clock.sleep(for: delay)
    }
}
