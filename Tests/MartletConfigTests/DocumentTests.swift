import Glibc
import MartletConfig
import Testing

@Suite struct DocumentTests {
    @Test func thePageIsMadeFromTheTable() throws {
        let path = repositoryPath("docs/CONFIGURATION.md")
        let page = ConfigurationDocument.markdown()
        if getenv("UPDATE_DOCS") != nil {
            #expect(writeText(page, to: path))
        }
        #expect(readText(path) == page, "docs/CONFIGURATION.md is old: make docs")
    }

    @Test func everySettingIsExplained() {
        let page = ConfigurationDocument.markdown()
        let help = ConfigurationDocument.help()
        for setting in Setting<ClusterConfiguration>.all {
            #expect(page.contains("### `\(setting.name)`"))
            #expect(help.contains("  \(setting.name) "))
            #expect(setting.meaning.hasSuffix("."))
        }
        #expect(page.split(separator: "\n").allSatisfy { $0.count <= 110 })
    }

    @Test func everyAmountSaysWhatRaisingDoes() {
        let amounts = ["time", "size", "whole number", "whole number of bytes", "word or time"]
        for setting in Setting<ClusterConfiguration>.all where amounts.contains(setting.kind.type) {
            #expect(!setting.raising.isEmpty && !setting.lowering.isEmpty, "\(setting.name)")
        }
        for setting in Setting<ClusterConfiguration>.all where setting.kind.type == "word" {
            #expect(!setting.choosing.isEmpty, "\(setting.name)")
        }
    }
}
