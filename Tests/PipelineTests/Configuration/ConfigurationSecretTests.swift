import Testing

@testable import Pipeline

@Suite struct ConfigurationSecretTests {
    private let canary = "hunter2-canary"

    private func everythingPrinted(_ loaded: EffectiveConfiguration) -> String {
        var text = loaded.render() + "\(loaded)" + String(reflecting: loaded) + "\(loaded.settings)"
        text += String(reflecting: loaded.settings) + "\(loaded.warnings)" + String(reflecting: loaded.warnings)
        dump(loaded, to: &text)
        dump(loaded.settings, to: &text)
        dump(loaded.settings.ship.clickhouse.password, to: &text)
        for key in SettingsKeys.all {
            text += "\(loaded.provenance(of: key.path)) \(key.get(loaded.settings)) "
            text += String(reflecting: key.get(loaded.settings))
        }
        return text
    }

    @Test(arguments: ["variable", "file", "literal", "override", "block"])
    func aPasswordIsNeverPrinted(_ way: String) throws {
        var files = ["stages/ship.yaml": "sink: clickhouse\n"]
        var environment: [String: String] = [:]
        switch way {
        case "variable":
            files["stages/ship.yaml"] = "clickhouse: {password: \"${PW}\"}\n"
            environment["PW"] = canary
        case "file":
            files["stages/ship.yaml"] = "clickhouse: {password_file: pw}\n"
            files["stages/pw"] = canary + "\n"
        case "literal": files["stages/ship.yaml"] = "clickhouse: {password: \(canary)}\n"
        case "override": environment["SLUICE_SHIP_CLICKHOUSE_PASSWORD"] = canary
        default: files["sluice.yaml"] = "database: {clickhouse: {password: \(canary)}}\n"
        }
        let loaded = try loadConfiguration(files, environment: environment)
        #expect(loaded.settings.ship.clickhouse.password.revealed == canary)
        let printed = everythingPrinted(loaded)
        #expect(!printed.contains(canary))
        #expect(printed.contains("password: \"********\""))
    }

    @Test(arguments: [
        "clickhouse: {password: [hunter2-canary]}\n", "clickhouse: {password: {a: hunter2-canary}}\n",
        "clickhouse: {pasword: hunter2-canary}\n", "clickhouse: {password: hunter2-canary\n",
        "clickhouse: {password: \"${hunter2-canary}\"}\n", "clickhouse:\n  password: a\n  password: hunter2-canary\n",
        "clickhouse:\n  password: \"hunter2-canary\n", "clickhouse: {hosts: [\"u:hunter2-canary@db:9000\"]}\n",
        "clickhouse:\n\tpassword: hunter2-canary\n",
    ])
    func anErrorNeverQuotesThePassword(_ text: String) {
        let failure = #expect(throws: ConfigurationFailure.self) {
            _ = try loadConfiguration(["stages/ship.yaml": text])
        }
        var printed = "\(failure?.errors ?? [])" + String(reflecting: failure)
        dump(failure, to: &printed)
        #expect(!printed.contains(canary))
    }

    @Test func aLiteralPasswordGivesAWarning() throws {
        let loaded = try loadConfiguration(["stages/ship.yaml": "clickhouse:\n  password: \(canary)\n"])
        #expect(
            loaded.warnings.map(\.description) == [
                "stages/ship.yaml:2:13: password stands in the file; take it from the environment, \"${NAME}\", or from a file, password_file"
            ])
        #expect(try loadConfiguration(["stages/ship.yaml": "clickhouse: {password: \"\"}\n"]).warnings.isEmpty)
    }

    @Test func aPasswordFileIsTrimmedAndWatchedForItsMode() throws {
        let loaded = try loadConfiguration(
            ["stages/ship.yaml": "clickhouse:\n  password_file: /run/secrets/x\n", "/run/secrets/x": " p w \r\n\n"],
            worldReadable: ["/run/secrets/x"])
        #expect(loaded.settings.ship.clickhouse.password == Secret(" p w "))
        #expect(
            loaded.warnings.map(\.description) == [
                "stages/ship.yaml:2:18: secret file /run/secrets/x can be read by every user of this machine; chmod o-r takes that away"
            ])
        #expect(
            loaded.render().contains(
                "password: \"********\"  # secret file /run/secrets/x, named by stages/ship.yaml:2"))
    }

    @Test func aPasswordOfDigitsStaysAsItIs() throws {
        let loaded = try loadConfiguration(["stages/ship.yaml": "clickhouse: {password: 0123}\n"])
        #expect(loaded.settings.ship.clickhouse.password == Secret("0123"))
    }

    @Test func aSettingThatHoldsASecretIsMasked() throws {
        let loaded = try loadConfiguration(["stages/ship.yaml": "clickhouse: {settings: {s3_secret_key: \(canary)}}\n"])
        #expect(!loaded.render().contains(canary))
    }
}
