import NIOCore
import NIOPosix
import ProducerProtocol

/// Sends rows to a sluice daemon on this machine and keeps them until the daemon has taken care of them.
///
/// ```swift
/// let producer = SluiceProducer(.init(socketPath: "/run/sluice/sluice.sock", name: "web-7", epoch: startTime))
/// try await producer.send("{\"table\":\"events\",\"id\":1}\n")
/// try await producer.close()
/// ```
///
/// - Rows are lines of JSON, or of another format that the configuration names. They are numbered in the order of the calls, from 1, or from where an earlier run with the
///   same name and epoch ended.
/// - A connection that breaks is made anew, and what is not acked is sent again. With a name nothing is taken twice.
/// - Memory: `bufferBytesMax`, plus the rows of each `send` that waits.
/// - It lives on one event loop. Calls from many tasks are fine; those that wait for room get it in their order.
public actor SluiceProducer {
    private enum Phase {
        /// Can transition to: connecting, closed.
        case idle
        /// Can transition to: greeting, resting, closed.
        case connecting
        /// HELLO is sent. Can transition to: open, resting, closed.
        case greeting(any Channel)
        /// Can transition to: resting, closing, closed.
        case open(any Channel)
        /// Until the next attempt. Can transition to: connecting, closed.
        case resting
        /// BYE is sent. Can transition to: closed.
        case closing(any Channel)
        case closed(SluiceClientError)
    }

    /// A `send` for which there is no room yet.
    private struct Sender {
        let id: UInt64
        let rows: Rows
        let continuation: CheckedContinuation<ClosedRange<UInt64>, any Error>
    }

    /// Rows, cut into frames.
    private struct Rows {
        var frames: [(payload: ByteBuffer, rows: Int, checksum: UInt32?)] = []
        var bytes = 0
    }

    private let configuration: SluiceProducerConfiguration
    private nonisolated let eventLoop: any EventLoop
    private let onEvent: @Sendable (SluiceEvent) -> Void
    private var phase = Phase.idle
    private var epoch: UInt64
    private var window: DeliveryWindow
    /// Counts connections, so that what an old one says is told apart.
    private var connection = 0
    private var attempts = 0
    private var disconnectedAt: NIODeadline?
    private var triesOnce = false
    private var lastProblem = "not connected yet"
    private var lastSent = NIODeadline.now()
    private var lastHeard = NIODeadline.now()
    private var heartbeat: RepeatedTask?
    private var lastID: UInt64 = 0
    private var senders = CircularBuffer<Sender>()
    private var flushers: [(upTo: UInt64, id: UInt64, continuation: CheckedContinuation<Void, any Error>)] = []
    private var openers: [(id: UInt64, continuation: CheckedContinuation<UInt64, any Error>)] = []
    private var closers: [CheckedContinuation<Void, Never>] = []

    public nonisolated var unownedExecutor: UnownedSerialExecutor { eventLoop.executor.asUnownedSerialExecutor() }

    /// Does nothing until the first call.
    ///
    /// - Parameters:
    ///   - eventLoop: by default one of the process's shared ones.
    ///   - onEvent: acks, rejections and what becomes of the connection, in their order. Called on the event loop: it must
    ///     not block.
    public init(
        _ configuration: SluiceProducerConfiguration, eventLoop: (any EventLoop)? = nil,
        onEvent: @escaping @Sendable (SluiceEvent) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.eventLoop = eventLoop ?? MultiThreadedEventLoopGroup.singleton.next()
        self.onEvent = onEvent
        epoch = configuration.epoch
        window = DeliveryWindow(isNamed: configuration.name != nil, isDivisible: configuration.format.isNDJSON)
    }

    // MARK: Calls

    /// Opens a session, if there is none yet. The other calls do this by themselves; a program that keeps its rows over a
    /// restart calls it to learn where to go on.
    ///
    /// - Parameter triesOnce: whether the first attempt decides, instead of `giveUpAfter`.
    /// - Returns: The last row that the daemon has under this name and epoch; the next one that is sent gets the number
    ///   behind it. 0 for a producer without a name.
    /// - Throws: `SluiceClientError`; `CancellationError`.
    @discardableResult
    public func connect(triesOnce: Bool = false) async throws -> UInt64 {
        switch phase {
        case .closed(let error): throw error
        case .open where openers.isEmpty: return window.acked
        default: break
        }
        let id = nextID()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation {
                openers.append((id, $0))
                // May fail before it returns.
                guard case .idle = phase else { return }
                self.triesOnce = triesOnce
                beginConnecting()
            }
        } onCancel: {
            onLoop { producer in
                guard let index = producer.openers.firstIndex(where: { $0.id == id }) else { return }
                producer.openers.remove(at: index).continuation.resume(throwing: CancellationError())
            }
        }
    }

    /// Takes rows over: returns as soon as they are in the buffer, and waits while there is no room for them. They are
    /// taken as a whole; rows larger than the whole buffer are taken when it is empty.
    ///
    /// - Parameter rows: One or more, each ended by a newline; it may be missing behind the last.
    /// - Returns: Their numbers; blank lines have numbers, too.
    /// - Throws: `SluiceClientError`, `CancellationError`: the rows were not taken.
    @discardableResult
    public func send(_ rows: ByteBuffer) async throws -> ClosedRange<UInt64> {
        guard configuration.format.isNDJSON else {
            throw SluiceClientError(
                code: .wrongCall,
                message: "rows of \(configuration.format.name) go by send(_:rows:), which says how many they are")
        }
        return try await send(try frames(of: rows))
    }

    /// Takes over rows of another format than NDJSON, as one frame: whole by itself, with the header if the format has one.
    ///
    /// - Parameters:
    ///   - payload: at most what the daemon takes as a frame (`receive.frame_bytes_max`, 1 MiB + 64 KiB as it comes). Without bytes: numbers
    ///     without rows.
    ///   - rows: how many it has. The daemon rejects all of a frame that has others.
    /// - Returns: Their numbers.
    /// - Throws: as `send(_:)`.
    @discardableResult
    public func send(_ payload: ByteBuffer, rows: Int) async throws -> ClosedRange<UInt64> {
        guard rows > 0, rows <= Int(UInt32.max) else {
            throw SluiceClientError(code: .noRows, message: "there are no rows to send")
        }
        guard !configuration.format.isNDJSON else { return try await send(payload) }
        var frame = Rows(bytes: payload.readableBytes)
        frame.frames.append((payload, rows, configuration.checksums ? payload.crc32() : nil))
        return try await send(frame)
    }

    private func send(_ rows: Rows) async throws -> ClosedRange<UInt64> {
        // The numbers are known when the daemon said where to go on.
        if window.last == 0, window.acked == 0 { try await connect() }
        if case .closed(let error) = phase { throw error }
        if senders.isEmpty, hasRoom(for: rows.bytes) { return take(rows) }
        let id = nextID()
        return try await withTaskCancellationHandler {
            try Task.checkCancellation()
            return try await withCheckedThrowingContinuation {
                senders.append(Sender(id: id, rows: rows, continuation: $0))
            }
        } onCancel: {
            onLoop { producer in
                guard let index = producer.senders.firstIndex(where: { $0.id == id }) else { return }
                producer.senders.remove(at: index).continuation.resume(throwing: CancellationError())
                producer.admitSenders()
            }
        }
    }

    /// The same for text.
    @discardableResult
    public func send(_ rows: String) async throws -> ClosedRange<UInt64> { try await send(ByteBuffer(string: rows)) }

    /// Waits until all rows that were sent before are acked.
    ///
    /// - Throws: `SluiceClientError` when that will not happen; `CancellationError`.
    public func flush() async throws {
        let upTo = window.last
        guard window.acked < upTo else { return }
        if case .closed(let error) = phase { throw error }
        let id = nextID()
        try await withTaskCancellationHandler {
            try Task.checkCancellation()
            try await withCheckedThrowingContinuation { flushers.append((upTo, id, $0)) }
        } onCancel: {
            onLoop { producer in
                guard let index = producer.flushers.firstIndex(where: { $0.id == id }) else { return }
                producer.flushers.remove(at: index).continuation.resume(throwing: CancellationError())
            }
        }
    }

    /// Waits until all is acked, takes leave of the daemon, and ends. After this, nothing can be sent.
    ///
    /// - Throws: as `flush`; the producer is closed even so.
    public func close() async throws {
        do {
            try await flush()
        } catch {
            abandon()
            throw error
        }
        guard case .open(let channel) = phase else {
            abandon()
            return
        }
        phase = .closing(channel)
        var bye = ByteBuffer()
        bye.writeFrame(.bye, number: window.wire(of: window.last))
        channel.writeAndFlush(bye, promise: nil)
        // The daemon closes at once: all is acked. One that does not is left.
        let giveUp = eventLoop.scheduleTask(in: .seconds(5)) {
            self.assumeIsolated { $0.abandon() }
        }
        await withCheckedContinuation { closer in
            // Writing may have found that the connection is broken, and ended all.
            if case .closed = phase { closer.resume() } else { closers.append(closer) }
        }
        giveUp.cancel()
    }

    /// Ends at once. What is not acked is no longer kept; calls that wait throw.
    public func abandon() { fail(SluiceClientError(code: .closed, message: "the producer is closed")) }

    /// All rows up to this number are acked.
    public var acked: UInt64 { window.acked }
    /// Rows that were taken by `send` and are not acked.
    public var unackedRows: UInt64 { window.last - window.acked }
    /// Their bytes.
    public var unackedBytes: Int { window.bytes }

    // MARK: Rows

    private func frames(of input: ByteBuffer) throws(SluiceClientError) -> Rows {
        var rest = input
        guard rest.readableBytes > 0 else {
            throw SluiceClientError(code: .noRows, message: "there are no rows to send")
        }
        if rest.readableBytesView.last != UInt8(ascii: "\n") { rest.writeInteger(UInt8(ascii: "\n")) }
        var rows = Rows(bytes: rest.readableBytes)
        while rest.readableBytes > 0 {
            var length = rest.lengthOfWholeLines(within: configuration.frameBytesMax)
            if length == 0 { length = rest.lengthOfFirstLine() ?? rest.readableBytes }
            guard length <= max(configuration.rowBytesMax, configuration.frameBytesMax),
                let payload = rest.readSlice(length: length)
            else {
                throw SluiceClientError(
                    code: .rowTooLong, message: "a row of \(length) bytes is longer than \(configuration.rowBytesMax)")
            }
            rows.frames.append(
                (payload, payload.countNewlines(), configuration.checksums ? payload.crc32() : nil))
        }
        return rows
    }

    private func hasRoom(for bytes: Int) -> Bool {
        window.bytes == 0 || window.bytes + bytes <= configuration.bufferBytesMax
    }

    private func take(_ rows: Rows) -> ClosedRange<UInt64> {
        let first = window.last + 1
        for frame in rows.frames { window.append(frame.payload, rows: frame.rows, checksum: frame.checksum) }
        pump()
        return first...window.last
    }

    private func admitSenders() {
        while let sender = senders.first, hasRoom(for: sender.rows.bytes) {
            senders.removeFirst()
            sender.continuation.resume(returning: take(sender.rows))
        }
    }

    private func pump() {
        guard case .open(let channel) = phase else { return }
        var hasWritten = false
        while let frame = window.nextToSend() {
            var header = ByteBuffer()
            FrameHeader(
                kind: .data, number: window.wire(of: frame.first), count: UInt32(frame.rows),
                length: UInt32(frame.payload.readableBytes), checksum: frame.checksum
            ).write(to: &header)
            channel.write(header, promise: nil)
            channel.write(frame.payload, promise: nil)
            hasWritten = true
        }
        guard hasWritten else { return }
        channel.flush()
        lastSent = .now()
    }

    // MARK: The connection

    private func beginConnecting() {
        phase = .connecting
        connection += 1
        let number = connection
        if disconnectedAt == nil { disconnectedAt = .now() }
        ClientBootstrap(group: eventLoop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        ClientHandler(
                            onFrame: { frame in self.assumeIsolated { $0.received(frame, on: number) } },
                            onEnd: { reason in self.assumeIsolated { $0.ended(reason, on: number) } }))
                }
            }
            .connect(unixDomainSocketPath: configuration.socketPath)
            .whenComplete { result in
                self.assumeIsolated { producer in
                    switch result {
                    case .success(let channel): producer.connected(channel, on: number)
                    case .failure(let error): producer.ended(producer.text(of: error), on: number)
                    }
                }
            }
    }

    private func text(of error: any Error) -> String {
        if let error = error as? IOError, error.errnoCode == ENOENT || error.errnoCode == ECONNREFUSED {
            return "no daemon listens on \(configuration.socketPath)"
        }
        return "cannot connect to \(configuration.socketPath): \(error)"
    }

    private func connected(_ channel: any Channel, on number: Int) {
        guard number == connection, case .connecting = phase else {
            channel.close(promise: nil)
            return
        }
        phase = .greeting(channel)
        var fields = [
            (key: "ack", value: configuration.ack.rawValue), ("client", configuration.client),
        ]
        fields += configuration.format.fields
        if let name = configuration.name { fields.append(("producer", name)) }
        if let table = configuration.table { fields.append(("table", table)) }
        var hello = ByteBuffer(bytes: FrameHeader.preamble)
        hello.writeFrame(.hello, number: configuration.name == nil ? 0 : epoch, fields: fields)
        channel.writeAndFlush(hello, promise: nil)
        lastSent = .now()
        lastHeard = .now()
        startHeartbeat()
    }

    private func received(_ frame: DaemonFrame, on number: Int) {
        guard number == connection else { return }
        lastHeard = .now()
        switch frame {
        case .welcome(let resume, let credit): welcomed(resume: resume, credit: credit)
        case .ack(let wire): if window.ackReceived(wire) { acksGrew() }
        case .nack(let rejection):
            onEvent(
                .rejected(
                    SluiceRejection(
                        row: window.number(ofWire: rejection.row), reason: rejection.reason, column: rejection.column,
                        message: rejection.message)))
        case .nacksLeftOut(let count): onEvent(.rejectionsLeftOut(count))
        case .pong: break
        case .error(let code, let message, let retryAfter):
            let isRetriable = SessionErrorCode(rawValue: code)?.isRetriable ?? false
            if isRetriable, !triesOnce {
                ended("\(code): \(message)", on: number, notBefore: retryAfter)
            } else {
                fail(SluiceClientError(code: .refused(code), message: "the daemon refuses (\(code)): \(message)"))
            }
        }
    }

    private func welcomed(resume: UInt64, credit: Int) {
        guard case .greeting(let channel) = phase else { return }
        switch window.welcomed(resume: resume, credit: credit, checksums: configuration.checksums) {
        case .resumed: break
        case .forgotten(let has):
            // A daemon that knows nothing of a producer lets it begin where it is. One that knows something would see a gap:
            // there it is another producer, by a new epoch.
            if has > 0 { epoch += 1 }
            onEvent(.daemonForgot(acked: window.acked, daemonHas: has, epoch: epoch))
            guard has == 0 else {
                disconnect()
                beginConnecting()
                return
            }
        case .ahead(let has):
            fail(
                SluiceClientError(
                    code: .numberingInUse,
                    message:
                        "the daemon has row \(has) of this name and epoch, but only \(window.last) rows were sent: somebody else uses them"
                ))
            return
        }
        phase = .open(channel)
        attempts = 0
        triesOnce = false
        disconnectedAt = nil
        onEvent(.connected(resume: window.acked))
        for opener in openers { opener.continuation.resume(returning: window.acked) }
        openers = []
        acksGrew(isNews: false)
        pump()
    }

    private func acksGrew(isNews: Bool = true) {
        let acked = window.acked
        if isNews { onEvent(.acked(acked)) }
        flushers.removeAll { flusher in
            guard flusher.upTo <= acked else { return false }
            flusher.continuation.resume()
            return true
        }
        admitSenders()
        pump()
    }

    /// The connection is over, or there was none: tries again after a wait.
    ///
    /// - Parameter notBefore: the daemon wants to hear nothing for so long.
    private func ended(_ reason: String, on number: Int, notBefore: Duration? = nil) {
        guard number == connection else { return }
        switch phase {
        case .closed, .idle, .resting: return
        case .closing:
            abandon()
            return
        case .connecting, .greeting, .open: break
        }
        let wasOpen = if case .open = phase { true } else { false }
        disconnect()
        lastProblem = reason
        if wasOpen { onEvent(.disconnected(reason)) }
        let since = disconnectedAt ?? .now()
        disconnectedAt = since
        let isTooLate = configuration.giveUpAfter.map { NIODeadline.now() - since >= TimeAmount($0) } ?? false
        guard !triesOnce, !isTooLate else {
            fail(SluiceClientError(code: .notConnected, message: reason))
            return
        }
        phase = .resting
        let whole = min(
            configuration.retryDelayMax, configuration.retryDelayMin * Double(UInt64(1) << UInt64(min(attempts, 20))))
        attempts += 1
        let asked = min(notBefore ?? .zero, configuration.retryAfterMax)
        eventLoop.scheduleTask(in: TimeAmount(max(asked, whole * Double.random(in: 0.5...1)))) {
            self.assumeIsolated { producer in
                if case .resting = producer.phase { producer.beginConnecting() }
            }
        }
    }

    private func disconnect() {
        heartbeat?.cancel()
        heartbeat = nil
        connection += 1
        switch phase {
        case .greeting(let channel), .open(let channel), .closing(let channel): channel.close(promise: nil)
        default: break
        }
    }

    private func startHeartbeat() {
        heartbeat?.cancel()
        let interval = TimeAmount(min(configuration.heartbeatInterval, configuration.silenceMax) / 4)
        heartbeat = eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
            self.assumeIsolated { $0.beat() }
        }
    }

    private func beat() {
        let now = NIODeadline.now()
        guard now - lastHeard < TimeAmount(configuration.silenceMax) else {
            ended("nothing was heard from the daemon for \(configuration.silenceMax)", on: connection)
            return
        }
        guard case .open(let channel) = phase, now - lastSent >= TimeAmount(configuration.heartbeatInterval) else {
            return
        }
        var ping = ByteBuffer()
        ping.writeFrame(.ping, number: window.acked)
        channel.writeAndFlush(ping, promise: nil)
        lastSent = now
    }

    /// The end, for all that wait.
    private func fail(_ error: SluiceClientError) {
        if case .closed = phase { return }
        disconnect()
        phase = .closed(error)
        for sender in senders { sender.continuation.resume(throwing: error) }
        for flusher in flushers { flusher.continuation.resume(throwing: error) }
        for opener in openers { opener.continuation.resume(throwing: error) }
        for closer in closers { closer.resume() }
        senders.removeAll()
        flushers = []
        openers = []
        closers = []
    }

    private func nextID() -> UInt64 {
        lastID += 1
        return lastID
    }

    private nonisolated func onLoop(_ body: @escaping @Sendable (isolated SluiceProducer) -> Void) {
        eventLoop.execute { self.assumeIsolated(body) }
    }
}
