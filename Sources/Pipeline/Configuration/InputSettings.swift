extension ValidateSettings.Input {
    /// All of them, by ClickHouse's names and as it writes their values.
    public var named: [String: String] {
        Dictionary(
            uniqueKeysWithValues: SettingsKeys.input.map { key in
                switch key.get(self) {
                case .flag(let isOn): (key.path, isOn ? "1" : "0")
                case let value: (key.path, YAMLText.of(value, key.type))
                }
            })
    }

    /// What the server has to know to read JSON, which it gets as text, as this daemon reads the rest of a row.
    public var namedForServer: [String: String] {
        named.filter {
            ["date_time_input_format", "input_format_try_infer_dates", "input_format_try_infer_datetimes"]
                .contains($0.key)
        }
    }
}
