extension SettingsKeys {
    static let receive: [ConfigurationKey<Settings>] =
        [
            .text(
                "receive.socket.path", \.receive.socketPath, bytesMax: 107,
                "Path of the Unix stream socket, relative to the working directory. A stale socket is replaced, a live one refused."
            ),
            .mode("receive.socket.mode", \.receive.socketMode, "Permission bits of the socket, octal and quoted."),
            .optionalText(
                "receive.socket.owner", \.receive.socketOwner, bytesMax: 256, absent: "none",
                "User who owns the socket, by name or number."),
            .optionalText(
                "receive.socket.group", \.receive.socketGroup, bytesMax: 256, absent: "none",
                "Group that owns the socket, by name or number."),
            .count("receive.backlog", \.receive.backlog, 1...65_535, "Connections that may wait to be accepted."),
            .count(
                "receive.connections_max", \.receive.connectionsMax, 1...1_000_000,
                "Sessions at once; one more is refused."),
            .bytes(
                "receive.line_bytes_max", \.receive.lineBytesMax, 64...1 << 30,
                "Longest line. A longer one is skipped to its end and rejected."),
            .optionalDuration(
                "receive.partial_line_timeout", \.receive.partialLineTimeout, .seconds(1) ... .seconds(86_400),
                absent: "never", "A session that holds half a line for longer is closed."),
            .bytes(
                "receive.read_bytes_max", \.receive.readBytesMax, 1024...64 << 20,
                "Largest read from one session at once."),
            .bytes(
                "receive.read_memory_max", \.receive.readMemoryMax, 1 << 20...1 << 30,
                "What reads of all sessions may take together: the largest read of each is its share, at least 16 KiB."),
            .bytes(
                "receive.frame_bytes_max", \.receive.frameBytesMax, 4096...64 << 20,
                "Longest payload of a frame. A longer one ends its session."),
            .bytes(
                "receive.credit_bytes", \.receive.creditBytes, 64 << 10...1 << 30,
                "Payload bytes that a producer of frames may have sent beyond what is acked."),
            .count(
                "receive.nacks_max", \.receive.nacksMax, 0...1000,
                "Rejected rows that a producer is told of one by one, for each ack; of more it is told their number."),
            .bytes(
                "receive.unread_bytes_max", \.receive.unreadBytesMax, 4096...64 << 20,
                "Acks and nacks that may wait for a producer to read them. Beyond it the session is ended."),
            .optionalDuration(
                "receive.idle_timeout", \.receive.idleTimeout, .seconds(1) ... .seconds(86_400), absent: "never",
                "A session of frames that says nothing for so long is ended."),
            .count(
                "receive.threads", \.receive.threads, 0...256,
                "Threads of the listener. 0: one for four cores, at least one."),
            .texts(
                "receive.allowed_users", \.receive.allowedUsers, bytesMax: 256,
                "Users whose processes may connect, by name or number; beside them those of `allowed_groups`. Both empty: whoever the socket's mode lets."
            ),
            .texts(
                "receive.allowed_groups", \.receive.allowedGroups, bytesMax: 256,
                "Groups whose members' processes may connect, by name or number; supplementary groups count."),
            .optionalCount(
                "receive.connections_per_user_max", \.receive.connectionsPerUserMax, 1...1_000_000, absent: "none",
                "Sessions of one user at once; one more is refused."),
            .rates(
                "receive.rate_limit.producer_rows", \.receive.rateLimit.producerRows, areBytes: false,
                "Rows a second that a producer may send."),
            .rates(
                "receive.rate_limit.producer_bytes", \.receive.rateLimit.producerBytes, areBytes: true,
                "Bytes of lines a second that a producer may send."),
            .rates(
                "receive.rate_limit.table_rows", \.receive.rateLimit.tableRows, areBytes: false,
                "Rows a second that a table may get. Sessions that send more to it are slowed, or told to wait."),
            .rates(
                "receive.rate_limit.table_bytes", \.receive.rateLimit.tableBytes, areBytes: true,
                "Bytes of lines a second that a table may get."),
            .duration(
                "receive.rate_limit.burst", \.receive.rateLimit.burst, .milliseconds(10) ... .seconds(3600),
                "After a pause, as much as in so long a time may come at once."),
        ] + ConfigurationKey.queue("receive.queue", \.receive.queue, of: "chunks for validation")
}
