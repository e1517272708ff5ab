import Testing

@testable import TidemarkCore

struct KafkaSettingsTests {
    /// A service compares what it reads again by its description; passwords are never in it.
    @Test func theDescriptionIsThatOfTheOptionsInAnyOrderAndShowsNone() {
        func settings(_ options: [(String, String)]) -> KafkaSettings {
            var settings = KafkaSettings()
            for (name, value) in options { settings.options[name] = value }
            return settings
        }
        let options = (0..<20).map { ("option.\($0)", "hush-\($0)") }
        let text = String(reflecting: settings(options))
        #expect(!text.contains("hush"))
        for _ in 0..<20 { #expect(String(reflecting: settings(options.shuffled())) == text) }
        #expect(String(reflecting: settings(options.dropLast() + [("option.19", "other")])) != text)
    }
}
