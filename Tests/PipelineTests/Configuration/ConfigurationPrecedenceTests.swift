import Testing

@testable import Pipeline

@Suite struct ConfigurationPrecedenceTests {
    private let block = """
        database:
          clickhouse:
            hosts: ["db1:9000", "[2001:db8::1]:9001", "db3"]
            connections: 20
            timeout: 30000
            context: "analytics"
            username: "u"
            password: "${CLICKHOUSE_PASSWORD}"
            secure: true
        """

    @Test func noFileAtAllIsTheEmbeddedDefault() throws {
        let loaded = try loadConfiguration(main: nil)
        #expect(loaded.settings == Settings())
        #expect(loaded.sources.isEmpty && loaded.warnings.isEmpty)
        #expect(loaded.settings.ship.sink == .file)
        #expect(loaded.provenance(of: "receive.backlog") == .builtIn)
    }

    @Test func emptyFilesAndEmptyGroupsAreDefaults() throws {
        let loaded = try loadConfiguration(["sluice.yaml": "# nothing\nadmin:\n", "stages/ship.yaml": "clickhouse:\n"])
        #expect(loaded.settings == Settings())
        #expect(loaded.sources == ["sluice.yaml", "stages/ship.yaml"])
    }

    @Test func theTrackersBlockConfiguresTheServer() throws {
        let loaded = try loadConfiguration(["sluice.yaml": block], environment: ["CLICKHOUSE_PASSWORD": "pw"])
        let clickhouse = loaded.settings.ship.clickhouse
        #expect(loaded.settings.ship.sink == .clickhouse)
        #expect(
            clickhouse.hosts == [
                .init(name: "db1", port: 9000), .init(name: "2001:db8::1", port: 9001), .init(name: "db3", port: 9440),
            ])
        #expect(clickhouse.database == "analytics")
        #expect(clickhouse.username == "u")
        #expect(clickhouse.password == Secret("pw"))
        #expect(clickhouse.connections == 20)
        #expect(clickhouse.connectTimeout == .seconds(30))
        #expect(clickhouse.secure)
        #expect(loaded.provenance(of: "ship.sink") == .derived(from: "database.clickhouse"))
        #expect(loaded.provenance(of: "ship.clickhouse.database").description == "sluice.yaml:6")
    }

    @Test func aStageFileGoesBeforeTheBlockAndSaysSo() throws {
        let loaded = try loadConfiguration(
            ["sluice.yaml": block, "stages/ship.yaml": "sink: file\nclickhouse:\n  database: other\n"],
            environment: ["CLICKHOUSE_PASSWORD": "pw"])
        #expect(loaded.settings.ship.sink == .file)
        #expect(loaded.settings.ship.clickhouse.database == "other")
        #expect(
            loaded.warnings.map(\.description) == [
                "stages/ship.yaml:3:13: ship.clickhouse.database overrides database.clickhouse.context at sluice.yaml:6:14"
            ])
    }

    @Test func aVariableGoesBeforeEveryFile() throws {
        let loaded = try loadConfiguration(
            ["stages/ship.yaml": "sink: file\nclickhouse: {database: a, password: \"${P:-x}\"}\n"],
            environment: [
                "SLUICE_SHIP_CLICKHOUSE_DATABASE": "b", "SLUICE_SHIP_SINK": "null", "SLUICE_RECEIVE_SOCKET_PATH": "/s",
                "SLUICE_SHIP_CLICKHOUSE_HOSTS": "a:1, b:2", "SLUICE_SHIP_CLICKHOUSE_PASSWORD": "y",
                "SLUICE_SHIP_CLICKHOUSE_SETTINGS": "max_threads=2,insert_quorum=auto",
                "SLUICE_RECEIVE_SOCKET_MODE": "0600",
            ])
        #expect(loaded.settings.ship.clickhouse.database == "b")
        #expect(loaded.settings.ship.sink == .null)
        #expect(loaded.settings.receive.socketPath == "/s")
        #expect(loaded.settings.receive.socketMode == 0o600)
        #expect(loaded.settings.ship.clickhouse.hosts == [.init(name: "a", port: 1), .init(name: "b", port: 2)])
        #expect(loaded.settings.ship.clickhouse.password == Secret("y"))
        #expect(loaded.settings.ship.clickhouse.settings == ["max_threads": "2", "insert_quorum": "auto"])
        #expect(loaded.provenance(of: "ship.clickhouse.database").description == "$SLUICE_SHIP_CLICKHOUSE_DATABASE")
        #expect(loaded.warnings.isEmpty)
    }

    @Test func everyKeyHasAVariableOfItsOwn() {
        let paths = SettingsKeys.all.map(\.path) + AliasKey.all.filter { !$0.isOfBlock }.map(\.path)
        #expect(Set(paths.map(EnvironmentVariables.name)).count == paths.count)
        #expect(EnvironmentVariables.byName.count == paths.count)
    }

    @Test func anUnknownVariableGivesAWarningWithTheLikelyName() throws {
        let loaded = try loadConfiguration(environment: [
            "SLUICE_RECIEVE_BACKLOG": "5", "SLUICE_SHIP_HOSTS": "x", "SLUICE_CONFIG": "ok", "OTHER": "x",
        ])
        #expect(
            loaded.warnings.map(\.description) == [
                "$SLUICE_RECIEVE_BACKLOG: no key has this name, it is not used, did you mean SLUICE_RECEIVE_BACKLOG?",
                "$SLUICE_SHIP_HOSTS: no key has this name, it is not used, did you mean SLUICE_SHIP_CLICKHOUSE_HOSTS?",
            ])
    }

    @Test func aMisspelledStageFileGivesAWarning() throws {
        let loaded = try loadConfiguration([
            "stages/recieve.yaml": "backlog: 5\n", "stages/ship.yml": "", "stages/notes.txt": "",
        ])
        #expect(
            loaded.warnings.map(\.description) == [
                "stages/recieve.yaml: no stage has a file of this name, it is not read, did you mean receive.yaml?",
                "stages/ship.yml: no stage has a file of this name, it is not read, did you mean ship.yaml?",
            ])
    }

    @Test func stageFilesAreFoundBesideTheMainFile() throws {
        let loaded = try loadConfiguration(
            ["/etc/sluice/sluice.yaml": "stages: steps\n", "/etc/sluice/steps/receive.yaml": "backlog: 7\n"],
            main: "/etc/sluice/sluice.yaml")
        #expect(loaded.settings.receive.backlog == 7)
        let moved = try loadConfiguration(
            ["/etc/sluice.yaml": "", "here/receive.yaml": "backlog: 8\n"], main: "/etc/sluice.yaml",
            environment: ["SLUICE_STAGES": "here"])
        #expect(moved.settings.receive.backlog == 8)
    }

    @Test func tablesInheritFromTheDefaults() throws {
        let loaded = try loadConfiguration([
            "stages/batch.yaml": """
            tables:
              analytics.mtriage: {strategy: time, age_max: 100ms}
            defaults: {rows_max: 20000, priority: 3}
            """
        ])
        let strategy = try #require(loaded.settings.batch.tables["analytics.mtriage"])
        #expect(strategy.kind == .time && strategy.ageMax == .milliseconds(100))
        #expect(strategy.rowsMax == 20_000 && strategy.priority == 3)
        let place = loaded.provenance(of: "batch.tables.age_max", element: "analytics.mtriage")
        #expect(place.description == "stages/batch.yaml:2")
    }

    @Test func howRowsAreReadIsATablesOwn() throws {
        let loaded = try loadConfiguration([
            "stages/validate.yaml": """
            tables:
              analytics.mtriage: {date_time_input_format: basic, input_format_json_read_bools_as_numbers: false}
              mstore: {input_format_import_nested_json: true}
            input_format_null_as_default: false
            """
        ])
        let validate = loaded.settings.validate
        let triage = validate.input(of: TableName(database: "analytics", table: "mtriage"))
        #expect(triage.dateTimeInputFormat == .basic && !triage.readBoolsAsNumbers && !triage.nullAsDefault)
        #expect(validate.input(of: TableName(database: "other", table: "mtriage")) == validate.input)
        #expect(validate.input(of: TableName(database: "any", table: "mstore")).importNestedJSON)
        #expect(validate.input.readBoolsAsNumbers && !validate.input.nullAsDefault)
        let place = loaded.provenance(of: "validate.tables.date_time_input_format", element: "analytics.mtriage")
        #expect(place.description == "stages/validate.yaml:2")
        #expect(loaded.render().contains("    analytics.mtriage:\n      date_time_input_format: basic"))
        // A reload says what differs.
        let differences = Settings().differences(to: loaded.settings).map(\.path)
        #expect(differences.contains("validate.tables.mstore.input_format_import_nested_json"))
        #expect(Settings().differences(to: loaded.settings).allSatisfy { $0.change == .reload })
        #expect(triage.named["date_time_input_format"] == "basic")
        #expect(validate.input.named["input_format_null_as_default"] == "0")
    }

    @Test func theRowBatchFollowsASmallerBlock() throws {
        let loaded = try loadConfiguration(["stages/batch.yaml": "defaults: {rows_max: 1000, bytes_max: 1MiB}\n"])
        #expect(loaded.settings.validate.rowBatchRowsMax == 1000)
        #expect(loaded.settings.validate.rowBatchBytesMax == 1 << 20)
        #expect(loaded.provenance(of: "validate.row_batch.rows_max").description == "from batch.defaults.rows_max")
        let timed = try loadConfiguration(["stages/batch.yaml": "defaults: {strategy: time, rows_max: 1000}\n"])
        #expect(timed.settings.validate.rowBatchRowsMax == 16_384)
    }

    @Test func aTableWithSmallBlocksGivesAWarning() throws {
        let loaded = try loadConfiguration(["stages/batch.yaml": "tables:\n  a: {rows_max: 10}\n"])
        #expect(loaded.warnings.count == 1)
        #expect(loaded.warnings.first?.description.hasPrefix("stages/batch.yaml:2:17: a: rows_max is 10, but") == true)
    }

    @Test func theTrackersProfileIsTakenOnceItIsInsistedOn() throws {
        let refused = configurationErrors([
            "stages/ship.yaml": "sink: clickhouse\nclickhouse:\n  profile: tracker\n"
        ])
        #expect(refused.count == 1)
        #expect(refused.first?.hasPrefix("stages/ship.yaml:3:12: wait_for_async_insert=0: the server confirms") == true)
        #expect(refused.first?.hasSuffix("or insist by unsafe_settings: [wait_for_async_insert]") == true)
        let loaded = try loadConfiguration([
            "stages/ship.yaml": """
            sink: clickhouse
            clickhouse:
              profile: tracker
              settings: {max_block_size: 5, insert_deduplicate: true}
              unsafe_settings: [wait_for_async_insert]
            """
        ])
        #expect(
            loaded.settings.ship.clickhouse.settings == [
                "async_insert": "1", "wait_for_async_insert": "0", "async_insert_max_data_size": "10000000",
                "async_insert_busy_timeout_ms": "200", "max_block_size": "5", "max_insert_block_size": "1048576",
                "insert_deduplicate": "1",
            ])
        #expect(loaded.warnings.map(\.code) == [.weakenedPromise])
        #expect(loaded.warnings.first?.place == .position(file: "stages/ship.yaml", line: 3, column: 12))
        let kept = try loadConfiguration([
            "stages/ship.yaml":
                "sink: clickhouse\nclickhouse: {profile: tracker, settings: {wait_for_async_insert: 1}}\n"
        ])
        #expect(kept.warnings.isEmpty)
    }

    @Test(arguments: [
        ("insert_deduplicate: 0", "insert_deduplicate"), ("deduplicate_insert: disable", "deduplicate_insert"),
        ("async_insert: 1, async_insert_deduplicate: false", "async_insert_deduplicate"),
    ])
    func whatGivesUpAPromiseIsRefusedUnlessItIsNamed(settings: String, name: String) throws {
        let text = "sink: clickhouse\nclickhouse: {settings: {\(settings)}"
        let errors = configurationErrors(["stages/ship.yaml": "\(text)}\n"])
        #expect(errors.count == 1)
        #expect(errors.first?.contains("insist by unsafe_settings: [\(name)]") == true)
        let loaded = try loadConfiguration(["stages/ship.yaml": "\(text), unsafe_settings: \(name)}\n"])
        #expect(loaded.warnings.map(\.code) == [.weakenedPromise])
        #expect(configurationErrors(["stages/ship.yaml": "clickhouse: {settings: {\(settings)}}\n"]).isEmpty)
    }

    @Test func whatIsDoneAfterErrorsIsSetByCode() throws {
        let loaded = try loadConfiguration(
            ["stages/ship.yaml": "clickhouse: {errors: {60: retry, 241: back_off, 6: split}}\n"],
            environment: ["SLUICE_SHIP_CLICKHOUSE_ERRORS": "60=refuse"])
        #expect(loaded.settings.ship.clickhouse.errors == [60: .refuse, 241: .backOff, 6: .split])
        #expect(loaded.render().contains("241: back_off  # stages/ship.yaml:1"))
        #expect(loaded.render().contains("60: refuse  # $SLUICE_SHIP_CLICKHOUSE_ERRORS"))
    }

    @Test func aPasswordOverPlainTCPToAnotherMachineIsInsistedOn() throws {
        func ship(_ keys: String) -> [String: String] {
            ["stages/ship.yaml": "sink: clickhouse\nclickhouse: {password: \"${P}\"\(keys)}\n"]
        }
        let environment = ["P": "hunter2"]
        for keys in [
            "", ", hosts: [\"127.0.0.1\", \"[::1]\", LocalHost]", ", hosts: [db], secure: true",
            ", hosts: [db], allow_plaintext_password: true",
        ] {
            #expect(configurationErrors(ship(keys), environment: environment).isEmpty, Comment(rawValue: keys))
        }
        let errors = configurationErrors(ship(", hosts: [localhost, \"db:9001\"]"), environment: environment)
        #expect(
            errors == [
                "stages/ship.yaml:2:24: password goes to db:9001 in plain text, where whoever sees the network reads it. Set secure: true, or insist by allow_plaintext_password: true"
            ])
        #expect(configurationErrors(ship(", hosts: [db]"), environment: ["P": ""]).isEmpty)
        // The tracker's block is taken as it stands.
        let block = try loadConfiguration(
            ["sluice.yaml": "database: {clickhouse: {hosts: [db], password: \"${P}\"}}\n"], environment: environment)
        #expect(block.warnings.map(\.code) == [.exposedSecret])
    }

    @Test func theDefaultPortFollowsTLS() throws {
        let secure = try loadConfiguration(["stages/ship.yaml": "clickhouse: {secure: true}\n"])
        #expect(secure.settings.ship.clickhouse.hosts == [.init(name: "localhost", port: 9440)])
        let bare = try loadConfiguration(["stages/ship.yaml": "clickhouse: {hosts: \"::1\"}\n"])
        #expect(bare.settings.ship.clickhouse.hosts == [.init(name: "::1", port: 9000)])
    }

    @Test func optionalValuesCanBeSwitchedOff() throws {
        let loaded = try loadConfiguration([
            "stages/receive.yaml": "partial_line_timeout: never\n", "stages/compress.yaml": "level: null\n",
        ])
        #expect(loaded.settings.receive.partialLineTimeout == nil)
        #expect(loaded.settings.compress.level == nil)
    }

    @Test func pathsOfSchemaFilesStartAtTheFileThatNamesThem() throws {
        let table = "CREATE TABLE a (x UInt8) ENGINE = Memory"
        let loaded = try loadConfiguration([
            "stages/validate.yaml": "schema: [../schema/*.sql, /abs/b.sql]\n", "stages/../schema/a.sql": table,
            "stages/../schema/a.txt": "no", "/abs/b.sql": "CREATE TABLE b (y String) ENGINE = Memory",
        ])
        #expect(loaded.settings.validate.schemaFiles == ["stages/../schema/a.sql", "/abs/b.sql"])
        #expect(loaded.schema.tables.map(\.description) == ["a", "b"])
    }

    @Test func aSpoolOfFewFilesIsWarnedOf() throws {
        let small = try loadConfiguration(["stages/spool.yaml": "bytes_max: 40MiB\n"])
        #expect(small.warnings.count == 1)
        #expect(small.warnings.first?.description.contains("take a segment_bytes of at most 10MiB") == true)
        let fine = try loadConfiguration(["stages/spool.yaml": "bytes_max: 40MiB\nsegment_bytes: 10MiB\n"])
        #expect(fine.warnings.isEmpty)
        #expect(try loadConfiguration(["stages/spool.yaml": "enabled: false\nbytes_max: 40MiB\n"]).warnings.isEmpty)
    }
}
