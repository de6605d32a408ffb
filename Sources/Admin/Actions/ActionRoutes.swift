import Foundation
import Hummingbird
import Pipeline

/// The endpoints that change something. Each call is written to the audit log, with what became of it.
struct ActionRoutes: Sendable {
    static let names = ["reload", "drain", "pause", "resume"]

    let site: AdminSite
    private let gate = ActionGate()

    init(site: AdminSite) { self.site = site }

    func add(to router: Router<AdminContext>) {
        let actions = site.actions
        add("reload", to: router) { () throws(AdminActionError) in try await actions.reload() }
        add("drain", to: router) { () throws(AdminActionError) in try await actions.drain() }
        add("pause", to: router) { () throws(AdminActionError) in try await actions.pause() }
        add("resume", to: router) { () throws(AdminActionError) in try await actions.resume() }
        router.post("tables/:table/flush") { [self] _, context in
            let given = context.parameters.get("table").flatMap(\.removingPercentEncoding) ?? ""
            // Names that cannot be a table's do not get into the log either.
            guard let table = TableName(parsing: given) else {
                let error = AdminActionError(.notFound, "that is not the name of a table")
                return await answer("tables/…/flush", .failure(error), context)
            }
            return await run("tables/\(table)/flush", context) { () throws(AdminActionError) in
                try await actions.flush(table)
            }
        }
    }

    private func add(
        _ name: String, to router: Router<AdminContext>,
        _ body: @escaping @Sendable () async throws(AdminActionError) -> AdminActionResult
    ) {
        router.post("\(name)") { [self] _, context in
            await run(name, context, body)
        }
    }

    private func run(
        _ name: String, _ context: AdminContext,
        _ body: @Sendable () async throws(AdminActionError) -> AdminActionResult
    ) async -> Response {
        do throws(AdminActionError) {
            return await answer(name, .success(try await gate.run(name, body)), context)
        } catch {
            return await answer(name, .failure(error), context)
        }
    }

    private func answer(
        _ name: String, _ result: Result<AdminActionResult, AdminActionError>, _ context: AdminContext
    ) async -> Response {
        let actor = await context.peer.description()
        switch result {
        case .success(let done):
            await site.audit?.record(.init(actor: actor, action: name, outcome: .done, detail: done.message))
            site.logger.notice("asked for and done", metadata: ["action": "\(name)", "by": "\(actor)"])
            return .json(
                .ok,
                .object([
                    ("status", .text("ok")), ("action", .text(name)), ("message", .text(done.message)),
                    ("details", .array(done.details.map { .text($0) })),
                ]))
        case .failure(let error):
            await site.audit?.record(
                .init(actor: actor, action: name, outcome: .failed, detail: error.description))
            site.logger.warning(
                "asked for and not done",
                metadata: ["action": "\(name)", "by": "\(actor)", "error": "\(error)"])
            return .json(
                error.code.status,
                .object([
                    ("error", .text(error.code.rawValue)), ("action", .text(name)),
                    ("message", .text(error.description)), ("details", .array(error.details.map { .text($0) })),
                ]))
        }
    }
}

extension AdminActionError.Code {
    fileprivate var status: HTTPResponse.Status {
        switch self {
        case .notSupported: .notImplemented
        case .conflict: .conflict
        case .notFound: .notFound
        case .invalid: .unprocessableContent
        case .failed: .internalServerError
        }
    }
}
