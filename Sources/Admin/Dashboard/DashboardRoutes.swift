import Hummingbird
import NIOCore

/// The page at `/`: three files that are compiled in, and nothing from anywhere else.
enum DashboardRoutes {
    /// Only our own script, style and data; no frames, no forms, no inline anything.
    private static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

    static func add(to router: Router<AdminContext>) {
        add("/", PackageResources.dashboard_html, "text/html", to: router)
        add("/dashboard.css", PackageResources.dashboard_css, "text/css", to: router)
        add("/dashboard.js", PackageResources.dashboard_js, "text/javascript", to: router)
    }

    private static func add(
        _ path: RouterPath, _ bytes: [UInt8], _ type: String, to router: Router<AdminContext>
    ) {
        let body = ByteBuffer(bytes: bytes)
        router.get(path) { _, _ in
            var response = Response.bytes(.ok, body, type: "\(type); charset=utf-8")
            response.headers[.contentSecurityPolicy] = policy
            return response
        }
    }
}
