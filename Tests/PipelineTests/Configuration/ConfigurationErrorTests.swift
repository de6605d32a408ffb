import Testing

@testable import Pipeline

@Suite struct ConfigurationErrorTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let file: String
        let text: String
        let message: String
        var testDescription: String { message }

        init(_ file: String, _ text: String, _ message: String) {
            self.file = file
            self.text = text
            self.message = message
        }
    }

    static let unknownKeys = [
        Case(
            "stages/ship.yaml", "sink: clickhouse\nclickhouse:\n  host: [a]\n",
            "stages/ship.yaml:3:3: unknown key \"host\", did you mean \"hosts\"?"),
        Case(
            "stages/receive.yaml", "path: /run/x\n",
            "stages/receive.yaml:1:1: unknown key \"path\", did you mean \"socket.path\"?"),
        Case(
            "stages/batch.yaml", "tables:\n  mstore: {row_max: 5}\n",
            "stages/batch.yaml:2:12: unknown key \"row_max\", did you mean \"rows_max\"?"),
        Case(
            "stages/compress.yaml", "colour: red\n",
            "stages/compress.yaml:1:1: unknown key \"colour\"; known here: frame_bytes, level, method, queue, workers"),
        Case(
            "sluice.yaml", "receive: {backlog: 1}\n",
            "sluice.yaml:1:1: unknown key \"receive\": the stage has its own file, stages/receive.yaml"),
        Case(
            "sluice.yaml", "database:\n  clickhose: {}\n",
            "sluice.yaml:2:3: unknown key \"clickhose\", did you mean \"clickhouse\"?"),
    ]

    static let wrongTypes = [
        Case(
            "stages/receive.yaml", "line_bytes_max: lots\n",
            "stages/receive.yaml:1:17: line_bytes_max: expected a size such as 64MiB, got \"lots\""),
        Case(
            "stages/receive.yaml", "backlog: [1]\n",
            "stages/receive.yaml:1:10: backlog: expected a whole number, got a list"),
        Case(
            "stages/receive.yaml", "backlog: {a: 1}\n",
            "stages/receive.yaml:1:10: backlog: expected a whole number, got a map"),
        Case(
            "stages/receive.yaml", "backlog:\n",
            "stages/receive.yaml:1:9: backlog: expected a whole number, got nothing"),
        Case(
            "stages/receive.yaml", "partial_line_timeout: 30\n",
            "stages/receive.yaml:1:23: partial_line_timeout: expected a duration such as 250ms or 5s, or never, got \"30\""
        ),
        Case(
            "stages/receive.yaml", "socket: /run/sluice.sock\n",
            "stages/receive.yaml:1:9: expected a map with the keys group, mode, owner, path, got a single value"),
        Case(
            "stages/receive.yaml", "socket: {mode: 660}\n",
            "stages/receive.yaml:1:16: mode: expected an octal mode such as \"0660\", got 660: write it as \"0660\""),
        Case(
            "stages/receive.yaml", "socket: {mode: rw}\n",
            "stages/receive.yaml:1:16: mode: expected an octal mode such as \"0660\", got \"rw\""),
        Case(
            "sluice.yaml", "admin:\n  enabled: maybe\n",
            "sluice.yaml:2:12: enabled: expected true or false, got \"maybe\""),
        Case(
            "stages/compress.yaml", "method: zst\n",
            "stages/compress.yaml:1:9: method: expected one of lz4, lz4hc, zstd, none, got \"zst\", did you mean \"zstd\"?"
        ),
        Case(
            "stages/ship.yaml", "clickhouse: {hosts: [\"db1:9000\", \"db2:port\"]}\n",
            "stages/ship.yaml:1:34: hosts: expected a host such as db1:9000 or [::1]:9000, got \"db2:port\""),
        Case(
            "stages/ship.yaml", "clickhouse: {hosts: []}\n",
            "stages/ship.yaml:1:21: hosts: expected at least one host, got an empty list"),
        Case(
            "stages/ship.yaml", "clickhouse: {settings: {max_threads: [1]}}\n",
            "stages/ship.yaml:1:38: max_threads: expected a value, got a list"),
        Case(
            "stages/ship.yaml", "clickhouse: {settings: 5}\n",
            "stages/ship.yaml:1:24: settings: expected a map of names to values, got a single value"),
        Case(
            "stages/batch.yaml", "tables: {\"a`b\": {}}\n",
            "stages/batch.yaml:1:10: \"a`b\" cannot be the name of a table"),
        Case(
            "stages/validate.yaml", "default_table: \"a`b\"\n",
            "stages/validate.yaml:1:16: default_table: cannot be the name of a table"),
    ]

    static let outOfRange = [
        Case("stages/receive.yaml", "backlog: 0\n", "stages/receive.yaml:1:10: backlog: must be 1 to 65535, got \"0\""),
        Case(
            "stages/receive.yaml", "line_bytes_max: 2TiB\n",
            "stages/receive.yaml:1:17: line_bytes_max: must be 64 to 1GiB, got \"2TiB\""),
        Case(
            "sluice.yaml", "shutdown_timeout: 2h\n",
            "sluice.yaml:1:19: shutdown_timeout: must be 1s to 1h, got \"2h\""),
        Case(
            "stages/receive.yaml", "socket: {mode: \"7777\"}\n",
            "stages/receive.yaml:1:16: mode: expected an octal mode such as \"0660\", got 7777: write it as \"07777\""),
        Case(
            "stages/receive.yaml", "socket: {mode: \"01777\"}\n",
            "stages/receive.yaml:1:16: mode: must be \"0000\" to \"0777\", got \"01777\""),
        Case(
            "stages/receive.yaml", "socket: {path: /\(String(repeating: "x", count: 107))}\n",
            "stages/receive.yaml:1:16: path: must be at most 107 bytes long, without NUL"),
    ]

    static let syntax = [
        Case(
            "stages/ship.yaml", "sink: file\nfile: {directory: data\n",
            "stages/ship.yaml:3:1: not valid YAML: did not find expected ',' or '}'"),
        Case(
            "stages/batch.yaml", "memory_max: 64MiB\nqueue: {}\nmemory_max: 32MiB\n",
            "stages/batch.yaml:3:1: key \"memory_max\" stands twice, first on line 1"),
        Case(
            "stages/ship.yaml", "clickhouse: {username: \"${1X}\"}\n",
            "stages/ship.yaml:1:24: expected ${NAME} or ${NAME:-default} after \"${\"; a \"${\" that is meant as such is written $${"
        ),
        Case(
            "stages/ship.yaml", "clickhouse:\n  username: ${CH_USER}\n",
            "stages/ship.yaml:2:13: environment variable CH_USER is not set; set it, or give a default as ${CH_USER:-value}"
        ),
    ]

    static let conflicts = [
        Case(
            "stages/ship.yaml", "clickhouse: {errors: {abc: retry}}\n",
            "stages/ship.yaml:1:28: errors: expected a number of ClickHouse's such as 241, got \"abc\""),
        Case(
            "stages/ship.yaml", "clickhouse: {errors: {241: backoff}}\n",
            "stages/ship.yaml:1:28: 241: errors: expected one of retry, back_off, split, refuse, got \"backoff\", did you mean \"back_off\"?"
        ),
        Case(
            "stages/ship.yaml", "clickhouse: {errors: [241]}\n",
            "stages/ship.yaml:1:22: errors: expected a map of error codes to retry, back_off, split, refuse, got a list"
        ),
        Case(
            "stages/ship.yaml", "clickhouse: {unsafe_settings: [wait_for_insert]}\n",
            "stages/ship.yaml:1:31: unsafe_settings: expected one of wait_for_async_insert, insert_deduplicate, async_insert_deduplicate, deduplicate_insert, got \"wait_for_insert\""
        ),
        Case(
            "stages/ship.yaml", "sink: clickhouse\nclickhouse: {settings: {insert_deduplication_token: a}}\n",
            "stages/ship.yaml:2:53: insert_deduplication_token: each block has its own; with one for all the server would drop every block but the first"
        ),
        Case(
            "stages/ship.yaml", "clickhouse: {client_cert: a.pem, secure: true}\n",
            "stages/ship.yaml:1:27: client_cert and client_key: one needs the other"),
        Case(
            "stages/ship.yaml", "clickhouse: {client_cert: a.pem, client_key: b.pem}\n",
            "stages/ship.yaml:1:27: client_cert: is used with secure: true only"),
        Case(
            "stages/compress.yaml", "method: lz4\nlevel: 3\n",
            "stages/compress.yaml:2:8: level: method lz4 has no levels; lz4hc takes 1 to 12, zstd 1 to 22"),
        Case(
            "stages/compress.yaml", "method: lz4hc\nlevel: 19\n",
            "stages/compress.yaml:2:8: level: must be 1 to 12 with method lz4hc, got 19"),
        Case(
            "sluice.yaml", "admin: {host: 0.0.0.0}\n",
            "sluice.yaml:1:15: host: \"0.0.0.0\" can be reached from other machines, which needs admin.token and admin.tls; or use a loopback address such as 127.0.0.1"
        ),
        Case(
            "sluice.yaml", "admin: {host: 127.example.org, tls: {certificate: c, key: k}}\n",
            "sluice.yaml:1:15: host: \"127.example.org\" can be reached from other machines, which needs admin.token; or use a loopback address such as 127.0.0.1"
        ),
        Case(
            "sluice.yaml", "admin: {host: \"::\", token: 0123456789abcdef}\n",
            "sluice.yaml:1:15: host: \"::\" can be reached from other machines, which needs admin.tls; or use a loopback address such as 127.0.0.1"
        ),
        Case(
            "sluice.yaml", "admin: {tls: {certificate: c}}\n",
            "sluice.yaml:1:28: tls: certificate and key go together, the key is missing"),
        Case(
            "sluice.yaml", "admin: {token: secret}\n",
            "sluice.yaml:1:16: token: must be at least 16 bytes; `openssl rand -hex 32` makes a good one"),
        Case(
            "sluice.yaml", "admin: {token: \"0123456789 abcdef\"}\n",
            "sluice.yaml:1:16: token: may have letters, digits and signs of ASCII only, as it stands in a header"),
        Case(
            "sluice.yaml", "admin: {host: none}\n",
            "sluice.yaml:1:15: host: with none, admin.socket.path has to be set; or set admin.enabled to false"),
        Case(
            "stages/validate.yaml", "row_batch: {rows_max: 100000}\n",
            "stages/validate.yaml:1:23: row_batch.rows_max: must be at most batch.defaults.rows_max, 65536, got 100000"),
        Case(
            "stages/ship.yaml", "clickhouse: {retry_delay_min: 1m}\n",
            "stages/ship.yaml:1:31: retry_delay_min: must be at most retry_delay_max, 10s, got 1m"),
        Case(
            "stages/validate.yaml", "dead_letter: {file_bytes_max: 2GiB}\n",
            "stages/validate.yaml:1:31: dead_letter.file_bytes_max: must be at most dead_letter.total_bytes_max, 1GiB, got 2GiB"
        ),
        Case(
            "stages/receive.yaml", "line_bytes_max: 16MiB\n",
            "stages/receive.yaml:1:17: line_bytes_max: must be at most queue.bytes_max, 8MiB, got 16MiB"),
        Case(
            "stages/batch.yaml", "memory_max: 4MiB\n",
            "stages/batch.yaml:1:13: memory_max: must be at least validate.row_batch.bytes_max, 8MiB, got 4MiB"),
        Case(
            "stages/batch.yaml", "tables:\n  a: {strategy: adaptive, age_min: 5s}\n",
            "stages/batch.yaml:2:36: a: age_min: must be at most age_max, 1s, got 5s"),
        Case(
            "stages/ship.yaml", "clickhouse:\n  password_file: a\n  password: \"${P:-}\"\n",
            "stages/ship.yaml:2:18: cannot read secret file stages/a: no such file or directory"),
        Case(
            "stages/validate.yaml", "schema: [a.sql]\n",
            "stages/validate.yaml:1:9: schema: stages/a.sql cannot be read: no such file or directory"),
        Case(
            "stages/validate.yaml", "schema: [../schema/*.sql]\n",
            "stages/validate.yaml:1:9: schema: cannot list stages/../schema for stages/../schema/*.sql: no such file or directory"
        ),
        Case(
            "stages/validate.yaml", "schema: [\"*.sql\"]\n",
            "stages/validate.yaml:1:9: schema: no file matches stages/*.sql"),
    ]

    @Test(arguments: unknownKeys + wrongTypes + outOfRange + syntax + conflicts)
    func anErrorSaysWhereAndWhat(_ example: Case) {
        #expect(configurationErrors([example.file: example.text]) == [example.message])
    }

    @Test func allErrorsOfAllFilesAreListedAtOnce() {
        let found = configurationErrors([
            "sluice.yaml": "admin: {port: x}\nlgo: {}\n",
            "stages/receive.yaml": "backlog: x\nsocket: {mode: 600}\n",
            "stages/ship.yaml": "sink: [\n",
        ])
        #expect(
            found == [
                "sluice.yaml:2:1: unknown key \"lgo\", did you mean \"log\"?",
                "sluice.yaml:1:15: port: expected a whole number, got \"x\"",
                "stages/receive.yaml:1:10: backlog: expected a whole number, got \"x\"",
                "stages/receive.yaml:2:16: mode: expected an octal mode such as \"0660\", got 600: write it as \"0600\"",
                "stages/ship.yaml:2:1: not valid YAML: did not find expected node content",
            ])
    }

    @Test func aMissingMainFileIsAnErrorWhereOneWasNamed() {
        let files = MemoryFiles()
        #expect {
            _ = try ConfigurationLoader(files: files, environment: [:]).load("/etc/sluice.yaml")
        } throws: {
            "\($0)" == "/etc/sluice.yaml: cannot be read: no such file or directory"
        }
    }

    @Test func aNamedStageDirectoryMustExist() {
        #expect(
            configurationErrors(["sluice.yaml": "stages: steps\n"]) == [
                "sluice.yaml:1:9: stages: cannot read steps: no such file or directory"
            ])
    }

    @Test func anErrorInAVariableNamesTheVariable() {
        #expect(
            configurationErrors(environment: ["SLUICE_RECEIVE_BACKLOG": "many"]) == [
                "$SLUICE_RECEIVE_BACKLOG: backlog: expected a whole number, got \"many\""
            ])
        #expect(
            configurationErrors(environment: ["SLUICE_SHIP_CLICKHOUSE_SETTINGS": "max_threads"]) == [
                "$SLUICE_SHIP_CLICKHOUSE_SETTINGS: settings: expected name=value pairs with commas between them"
            ])
    }

    @Test func bothWaysToGiveAPasswordExcludeEachOther() {
        let found = configurationErrors([
            "stages/ship.yaml": "clickhouse:\n  password_file: p\n  password: \"${P:-x}\"\n", "stages/p": "secret",
        ])
        #expect(
            found == [
                "stages/ship.yaml:3:13: ship.clickhouse.password and ship.clickhouse.password_file exclude each other; the other is at stages/ship.yaml:2:18"
            ])
    }

    @Test func oneBrokenValueGivesNoFollowUpErrors() {
        // The level would not fit the default method.
        #expect(configurationErrors(["stages/compress.yaml": "method: zstandard\nlevel: 19\n"]).count == 1)
    }

    @Test func theNumberOfErrorsIsBounded() {
        let text = (0..<300).map { "key\($0): 1\n" }.joined()
        let found = configurationErrors(["stages/batch.yaml": text])
        #expect(found.count == ConfigurationLimits.errorsMax + 1)
        #expect(found.last == "configuration: 100 more errors are not shown")
    }

    @Test func aValueFromAVariableIsNotShown() {
        let found = configurationErrors(
            ["stages/receive.yaml": "backlog: ${COUNT}\n"], environment: ["COUNT": "hunter2"])
        #expect(found == ["stages/receive.yaml:1:10: backlog: expected a whole number, got the value of $COUNT"])
    }
}
