import Glibc
import MartletServer
import Testing

@Suite struct DocumentTests {
    @Test func thePageIsMadeFromTheTable() throws {
        let path = repositoryPath("docs/REDIS.md")
        let page = RedisDocument.markdown()
        if getenv("UPDATE_DOCS") != nil {
            #expect(writeText(page, to: path))
        }
        #expect(readText(path) == page, "docs/REDIS.md is old: make docs")
    }

    @Test func everyDifferenceHasAReason() {
        // The page breaks its lines elsewhere.
        let page = RedisDocument.markdown().split { $0 == " " || $0 == "\n" }.joined(separator: " ")
        for difference in RedisDifference.allCases {
            #expect(page.contains("\(difference.commands)**: \(difference.reason)"), "\(difference)")
        }
    }
}
