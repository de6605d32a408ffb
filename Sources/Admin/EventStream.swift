import Hummingbird
import NIOCore
import Pipeline
import ServiceLifecycle
import Synchronization

/// `GET /events`: the status once a second as server-sent events, for the dashboard and `sluice top`. A client that reads
/// slowly gets fewer events; it never makes the daemon keep any.
struct EventStream: Sendable {
    static let interval: Duration = .seconds(1)
    /// Latencies are those of so many intervals.
    static let windowIntervals = 10

    private let site: AdminSite
    private let streams = Streams()

    init(site: AdminSite) { self.site = site }

    func add(to router: Router<AdminContext>) {
        router.get("events") { _, _ in answer() }
    }

    private func answer() -> Response {
        guard let stream = streams.begin(max: site.streamsMax) else {
            return .json(
                .serviceUnavailable,
                .error("too_many_streams", "\(site.streamsMax) streams are open already (admin.streams_max)"))
        }
        var headers = HTTPFields()
        headers[.contentType] = "text/event-stream; charset=utf-8"
        headers[.cacheControl] = "no-store"
        let body = ResponseBody { [site] writer in
            var earlier: [Observation] = []
            // The stream counts as open for as long as somebody holds this.
            defer { withExtendedLifetime(stream) {} }
            repeat {
                try await writer.write(ByteBuffer(string: Self.event(site, &earlier)))
            } while await Self.pause(site.clock)
            try await writer.finish(nil)
        }
        return Response(status: .ok, headers: headers, body: body)
    }

    /// - Returns: false when it was cut short: the endpoints end.
    private static func pause(_ clock: StageClock) async -> Bool {
        (try? await cancelWhenGracefulShutdown { try await clock.sleep(for: interval) }) != nil
    }

    private static func event(_ site: AdminSite, _ earlier: inout [Observation]) -> String {
        let now = site.observe()
        var report = site.report(now)
        report.tablesMax = StatusReport.tablesInEventsMax
        report.lately = earlier.last.map { Interval(from: $0, to: now) }
        report.window = earlier.first.map { Interval(from: $0, to: now) }
        earlier.append(now)
        if earlier.count > windowIntervals { earlier.removeFirst() }
        var text = "event: status\ndata: "
        report.json.write(to: &text)
        return text + "\n\n"
    }
}

/// Counts the streams that are open.
private final class Streams: Sendable {
    private let open = Atomic(0)

    /// One that is open until it is let go of.
    final class Handle: Sendable {
        private let streams: Streams

        fileprivate init(_ streams: Streams) { self.streams = streams }

        deinit { streams.open.subtract(1, ordering: .relaxed) }
    }

    /// - Returns: nil when there are `max` already.
    func begin(max: Int) -> Handle? {
        guard open.add(1, ordering: .relaxed).newValue <= max else {
            open.subtract(1, ordering: .relaxed)
            return nil
        }
        return Handle(self)
    }
}
