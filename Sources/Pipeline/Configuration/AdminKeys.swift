extension SettingsKeys {
    /// Keys of the endpoints, and of the log of who used them to change something.
    static let admin: [ConfigurationKey<Settings>] = [
        .flag("admin.enabled", \.admin.enabled, "Whether the HTTP endpoints are served at all."),
        .optionalText(
            "admin.host", \.admin.host, bytesMax: 255, absent: "none",
            "Address of the HTTP endpoints on TCP. Any but a loopback address needs `admin.token` and `admin.tls`."),
        .count("admin.port", \.admin.port, 0...65_535, "Port of the HTTP endpoints. 0: one that is free."),
        .optionalText(
            "admin.socket.path", \.admin.socketPath, bytesMax: 90, absent: "none",
            "Unix socket with the same endpoints, relative to the working directory. Its mode is what protects it: no token is asked for there."
        ),
        .mode("admin.socket.mode", \.admin.socketMode, "Permission bits of that socket, octal and quoted."),
        .secret(
            "admin.token", \.admin.token,
            "What clients on TCP show as `Authorization: Bearer …`, 16 bytes or more. Without it they can read, and change nothing."
        ),
        .optionalText(
            "admin.tls.certificate", \.admin.tlsCertificate, absent: "none",
            "PEM file with the endpoints' certificate and those between it and its root, relative to the file that names it."
        ),
        .optionalText(
            "admin.tls.key", \.admin.tlsKey, absent: "none",
            "PEM file with the certificate's private key, relative to the file that names it."),
        .count(
            "admin.connections_max", \.admin.connectionsMax, 1...4096,
            "Connections at once; further ones wait until one is closed."),
        .count(
            "admin.streams_max", \.admin.streamsMax, 0...1024,
            "Live streams (dashboards) at once; a further one is refused."),
        .count(
            "admin.requests_per_second", \.admin.requestsPerSecond, 1...100_000,
            "Requests of one peer, averaged over ten seconds; further ones are refused."),
        .optionalText(
            "audit.path", \.audit.path, absent: "none",
            "File with a line of JSON for each change and each refusal, relative to the working directory; mode 0600."),
        .bytes(
            "audit.file_bytes_max", \.audit.fileBytesMax, 4096...1 << 40,
            "The file is renamed to `….1` and a new one begun at this size."),
        .count("audit.files_max", \.audit.filesMax, 1...1000, "Files that are kept, with the one that is written to."),
    ]
}
