import Admin
import Pipeline
import ServiceLifecycle

/// Reloads when one of the configuration's files changed, and has come to rest: files are looked at now and then, which works on every
/// file system, and where an orchestrator swaps a link.
struct ReloadOnChange: Stage {
    /// Where it is switched off, so often is looked whether it still is.
    static let offInterval: Duration = .seconds(5)
    /// Files that change are left alone until they were the same for so long.
    static let restTime: Duration = .milliseconds(500)

    let name = "watch"
    let clock: StageClock
    /// How often, nil: never; and which.
    let watch: @Sendable () -> (interval: Duration?, files: [String])
    let version: @Sendable (String) -> FileVersion?
    /// Throws a conflict when another reload is under way: it is tried again.
    let reload: @Sendable () async throws(AdminActionError) -> Void

    func run() async throws {
        try? await cancelWhenGracefulShutdown { try await follow() }
    }

    private func follow() async throws {
        var known = versions(of: watch().files)
        while true {
            let (interval, files) = watch()
            try await clock.sleep(for: interval ?? Self.offInterval)
            let now = versions(of: files)
            guard interval != nil, changed(from: known, to: now) else {
                // Files that a reload began to name are known from here on.
                known.merge(now) { old, _ in old }
                if interval == nil { known = now }
                continue
            }
            let rested = try await rest(now)
            do throws(AdminActionError) {
                try await reload()
                known = rested
            } catch  where error.code == .conflict {
                // As if nothing had been seen.
            } catch {
                // It was logged; the same files are not tried again.
                known = rested
            }
        }
    }

    private func rest(_ seen: [String: FileVersion?]) async throws -> [String: FileVersion?] {
        var seen = seen
        while true {
            try await clock.sleep(for: Self.restTime)
            let now = versions(of: Array(seen.keys))
            if now == seen { return now }
            seen = now
        }
    }

    /// Whether a file that was looked at before is another one.
    private func changed(from known: [String: FileVersion?], to now: [String: FileVersion?]) -> Bool {
        now.contains { path, version in known[path].map { $0 != version } ?? false }
    }

    private func versions(of files: [String]) -> [String: FileVersion?] {
        Dictionary(uniqueKeysWithValues: files.map { ($0, version($0)) })
    }
}
