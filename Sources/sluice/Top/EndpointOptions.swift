import ArgumentParser
import Foundation
import Pipeline

/// Which running daemon a command speaks to.
struct EndpointOptions: ParsableArguments {
    @OptionGroup var configuration: ConfigurationOptions

    @Option(help: ArgumentHelp("The daemon's admin socket.", valueName: "path"))
    var socket: String?

    @Option(help: ArgumentHelp("Address of the daemon's endpoints, without TLS.", valueName: "http://host:port"))
    var url: String?

    @Option(name: .customLong("token-file"), help: ArgumentHelp("File that holds the token.", valueName: "path"))
    var tokenFile: String?

    func validate() throws {
        guard socket == nil || url == nil else { throw ValidationError("Give --socket or --url, not both.") }
        if let url, AdminAddress(parsing: url) == nil {
            throw ValidationError("\(url) is no address such as http://127.0.0.1:8090.")
        }
    }

    /// What was given, or what the configuration names: its Unix socket if there is one, else the port.
    ///
    /// - Throws: `TopError`; the exit status of a configuration that cannot be used.
    func target() throws -> (AdminAddress, token: String?) {
        var token: String?
        if let tokenFile {
            guard let text = try? String(contentsOfFile: tokenFile, encoding: .utf8) else {
                throw TopError("cannot read \(tokenFile)")
            }
            token = text.trimmingCharacters(in: .newlines)
        }
        if let socket { return (.socket(socket), token) }
        if let address = url.flatMap(AdminAddress.init(parsing:)) { return (address, token) }
        let admin = try configuration.load().settings.admin
        let own = admin.token.revealed
        return (try AdminAddress(admin), token ?? (own.isEmpty ? nil : own))
    }
}
