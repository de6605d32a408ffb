extension SettingsKeys {
    static let spool: [ConfigurationKey<Settings>] =
        [
            .flag(
                "spool.enabled", \.spool.enabled,
                "Whether rows are made durable before they are acked and shipped. Without it a crash loses what is in memory."
            ),
            .text(
                "spool.directory", \.spool.directory,
                "Where the spool is kept, relative to the working directory. One daemon at a time has it."),
            .bytes(
                "spool.bytes_max", \.spool.bytesMax, 1 << 20...1 << 50,
                "All of the spool. When it is full, `full_policy` says what happens."),
            .bytes(
                "spool.free_bytes_min", \.spool.freeBytesMin, 0...1 << 50,
                "What the file system must have left; below it the spool counts as full."),
            .bytes(
                "spool.reserve_bytes", \.spool.reserveBytes, 0...1 << 30,
                "Room on the disk that is taken beforehand, so that what is spooled can be shipped, and makes room, on a file system that others have filled. 0: none."
            ),
            .choice(
                "spool.full_policy", \.spool.fullPolicy,
                "New rows while the spool is full. `block`: producers wait; `reject`: sessions that want acks are ended with `spool_full`, others wait; `discard_newest`: they are dropped and counted."
            ),
            .optionalDuration(
                "spool.age_max", \.spool.ageMax, .seconds(1) ... .seconds(366 * 86_400), absent: "never",
                "Rows that have waited for longer are given up, and counted."),
            .bytes(
                "spool.segment_bytes", \.spool.segmentBytes, 64 << 10...4 << 30,
                "Size of one file. A file is deleted when all of its rows, and those of older files, are settled."),
            .choice(
                "spool.sync", \.spool.sync,
                "When rows are made to last. `always`: before they are acked; `interval`: within `sync_interval`, a power loss may cost that much; `never`: when the kernel likes."
            ),
            .duration(
                "spool.sync_interval", \.spool.syncInterval, .milliseconds(1) ... .seconds(60),
                "For `sync: interval`."),
            .bytes(
                "spool.group_bytes", \.spool.groupBytes, 64 << 10...1 << 30, "Rows that are written and synced at once."
            ),
            .choice("spool.compression", \.spool.compression, "Of the rows on disk."),
            .bytes(
                "spool.memory_max", \.spool.memoryMax, 64 << 10...1 << 40,
                "Rows that are handed on from memory. Beyond it they are read back from disk when their turn comes."),
            .count(
                "spool.producers_max", \.spool.producersMax, 1...1_000_000,
                "Names of producers that are remembered."),
            .duration(
                "spool.producer_age_max", \.spool.producerAgeMax, .seconds(60) ... .seconds(366 * 86_400),
                "A name that was not used for so long is forgotten when room is needed, or a file is begun."),
        ] + ConfigurationKey.queue("spool.queue", \.spool.queue, of: "row batches to be made durable")
}
