import Glibc
import MartletBase
import MartletRocksDB
import MartletStorage
import StorageConformance
import Testing

@Suite struct DataFolderTests {
    private let scratch = Scratch()

    private func expect(_ expected: DataFolderError, _ call: () throws -> Void) throws {
        let error = try refusal(call)
        #expect(error == expected)
        #expect(error.isHelpful, "\(error)")
    }

    @Test func aNewFolderHasAnIdentityThatEveryLaterStartKeeps() throws {
        let node = NodeID(short: 1, middle: 2, low: 3)
        do {
            let folder = try scratch.open()
            #expect(folder.start == .first)
            #expect(folder.epoch == 1 && folder.previousEpoch == 0)
            #expect(folder.identity.node == node)
            try folder.markClean()
        }
        #expect(Scratch.list(scratch.node) == ["EPOCH", "IDENTITY", "LOCK", "STAMP", "SYNCED"])
        let text = String(decoding: try Scratch.read(scratch.node + "/IDENTITY"), as: UTF8.self)
        #expect(
            text.hasPrefix(
                "format=1\ncluster=test\nnode=\(node)\nname=n1\ncreated_ms=1700000000000\nchecksum="))
        let folder = try DataFolder(
            opening: scratch.node, cluster: "test", name: "n1", newNode: NodeID(short: 9, middle: 9, low: 9),
            now: WallTime(milliseconds: 5))
        #expect(folder.identity.node == node)
        #expect(folder.identity.created == WallTime(milliseconds: 1_700_000_000_000))
        #expect(try DataFolder.readIdentity(scratch.node) == folder.identity)
        #expect(try DataFolder.readIdentity(scratch.path) == nil)
    }

    @Test func theEpochRisesAtEachStartThatIsNotClean() throws {
        func start(clean: Bool) throws -> (DataFolder.Start, UInt64, UInt64) {
            let folder = try scratch.open()
            if clean { try folder.markClean() }
            return (folder.start, folder.previousEpoch, folder.epoch)
        }
        #expect(try start(clean: true) == (.first, 0, 1))
        #expect(try start(clean: true) == (.clean, 1, 1))
        #expect(try start(clean: false) == (.clean, 1, 1))
        #expect(try start(clean: false) == (.unclean, 1, 2))
        #expect(try start(clean: true) == (.unclean, 2, 3))
        #expect(try start(clean: true) == (.clean, 3, 3))
        // A copy starts apart from what it was copied from.
        let copy = try scratch.open(scratch.copy(scratch.node, as: "copy"))
        #expect((copy.start, copy.previousEpoch, copy.epoch) == (.foreign, 3, 4))
        // It may lack what was written since.
        #expect(copy.lostEpoch == 4)
    }

    /// What a checkpoint of trees relies on.
    @Test func aStoreThatWasClosedHasTheLastWriteThatItHadThen() throws {
        var last = SequenceNumber.zero
        for run in 0..<3 {
            let folder = try scratch.open()
            let engine = try RocksDBEngine(
                opening: folder, settings: Scratch.settings, rules: ToyRecord.rules)
            #expect(try engine.sync() == last)
            #expect(folder.readTrees() == (run == 0 ? nil : Blob("trees \(run - 1)")))
            for i in 0..<(1_000 * run) {
                var batch = WriteBatch()
                batch.putMeta(Blob("fact \(i)"), Blob("of run \(run)"))
                try engine.write(batch)
            }
            last = try engine.sync()
            try engine.close()
            try folder.writeTrees(Blob("trees \(run)"))
            try folder.markClean()
        }
    }

    @Test func aFolderBecomesWhatThePeersSay() throws {
        do {
            let folder = try scratch.open()
            #expect(folder.lostEpoch == 0)
            try folder.reserveStamps(ceiling: 100)
            // A lower ceiling than it has changes nothing.
            try folder.become(node: folder.identity.node, epoch: 7, ceiling: 90)
        }
        do {
            let folder = try scratch.open()
            #expect(
                (folder.start, folder.epoch, folder.lostEpoch, folder.stampCeiling) == (.clean, 7, 7, 100))
        }
        // What was lost stays known through later starts, until the node says that it has rebuilt it.
        let folder = try scratch.open()
        #expect((folder.start, folder.epoch, folder.lostEpoch) == (.unclean, 8, 7))
    }

    @Test func aFolderInThePlaceOfALostOneTakesItsId() throws {
        let known = NodeID(short: 7, middle: 7, low: 7)
        do {
            let folder = try scratch.open()
            #expect(folder.identity.node != known)
            try folder.become(node: known, epoch: 12, ceiling: 500)
        }
        let folder = try scratch.open()
        #expect(folder.identity.node == known && folder.identity.name == "n1")
        #expect((folder.start, folder.epoch, folder.lostEpoch, folder.stampCeiling) == (.clean, 12, 12, 500))
    }

    @Test func aSecondProcessIsRefusedByPid() throws {
        let folder = try scratch.open()
        try expect(.locked(folder: scratch.node, pid: Int(getpid()))) { _ = try scratch.open() }
        withExtendedLifetime(folder) {}
    }

    @Test func aFolderOfAnotherClusterOrNodeIsRefused() throws {
        do { _ = try scratch.open() }
        try expect(.otherCluster(folder: scratch.node, found: "test", expected: "prod")) {
            _ = try scratch.open(cluster: "prod")
        }
        try expect(.otherName(folder: scratch.node, found: "n1", expected: "n2")) {
            _ = try scratch.open(name: "n2")
        }
        // A refused start leaves the folder as it was.
        #expect(try scratch.open().previousEpoch == 1)
    }

    @Test(arguments: ["IDENTITY", "EPOCH"])
    func aTextFileThatIsNotWhatWasWrittenIsRefused(_ name: String) throws {
        do { _ = try scratch.open() }
        let file = scratch.node + "/" + name
        let whole = try Scratch.read(file)
        for position in 0..<whole.count {
            var bytes = whole
            bytes[position] ^= 1
            try Scratch.write(file, bytes)
            let error = try refusal { _ = try scratch.open() }
            guard case .unreadable(file, _) = error else {
                Issue.record("byte \(position): \(error)")
                continue
            }
            #expect(error.isHelpful, "\(error)")
        }
        for count in 0..<whole.count {
            try Scratch.write(file, Array(whole[..<count]))
            _ = try refusal { _ = try scratch.open() }
        }
        try Scratch.write(file, whole)
        _ = try scratch.open()
    }

    @Test func aMissingFileIsRefused() throws {
        do { _ = try scratch.open() }
        for name in ["EPOCH", "STAMP", "SYNCED"] {
            let file = scratch.node + "/" + name
            let bytes = try Scratch.read(file)
            try #require(remove(file) == 0)
            try expect(.missing(file: file)) { _ = try scratch.open() }
            try Scratch.write(file, bytes)
        }
        mkdir(scratch.node + "/db", 0o755)
        try #require(remove(scratch.node + "/IDENTITY") == 0)
        try expect(.dataWithoutIdentity(folder: scratch.node)) { _ = try scratch.open() }
    }

    @Test func aCrashWhileTheFolderWasMadeIsNoHarm() throws {
        do { _ = try scratch.open() }
        // IDENTITY comes last.
        try #require(remove(scratch.node + "/IDENTITY") == 0)
        let folder = try scratch.open()
        #expect(folder.start == .first && folder.epoch == 1)
    }

    @Test func aLaterFormatIsRefused() throws {
        do { _ = try scratch.open() }
        let body = "format=2\nsomething=new\n"
        let checksum = hex(XXH3.hash(Blob(body)))
        try Scratch.write(scratch.node + "/IDENTITY", Array("\(body)checksum=\(checksum)\n".utf8))
        try expect(.unknownFormat(file: scratch.node + "/IDENTITY", found: "2")) { _ = try scratch.open() }
    }

    @Test func aFolderThatCantBeWrittenIsRefused() throws {
        // The kernel's own folders refuse even root.
        let error = try refusal { _ = try scratch.open("/sys/martlet") }
        guard case .notWritable("/sys/martlet", _) = error else {
            Issue.record("another refusal: \(error)")
            return
        }
        #expect(error.isHelpful)
        if getuid() == 0 { return }
        do { _ = try scratch.open() }
        chmod(scratch.node, 0o555)
        defer { chmod(scratch.node, 0o755) }
        guard case .notWritable = try refusal({ _ = try scratch.open() }) else {
            Issue.record("another refusal")
            return
        }
    }

    @Test func aFileInTheFoldersPlaceIsRefused() throws {
        try Scratch.write(scratch.path + "/file", [1])
        let error = try refusal { _ = try scratch.open(scratch.path + "/file/n1") }
        guard case .failed = error else {
            Issue.record("another refusal: \(error)")
            return
        }
        _ = try refusal { _ = try scratch.open(scratch.path + "/file") }
    }

    // MARK: STAMP

    @Test func theStampCeilingSurvivesAndNeverFalls() throws {
        do {
            let folder = try scratch.open()
            #expect(folder.stampCeiling == 0)
            try folder.reserveStamps(ceiling: 1_000)
            try folder.reserveStamps(ceiling: 500)
            #expect(folder.stampCeiling == 1_000)
        }
        #expect(try scratch.open().stampCeiling == 1_000)
    }

    @Test(arguments: [0, 4_096]) func noSingleDamagedSlotLowersTheCeiling(_ offset: Int) throws {
        do {
            let folder = try scratch.open()
            try folder.reserveStamps(ceiling: 1_000)
            try folder.reserveStamps(ceiling: 2_000)
        }
        let file = scratch.node + "/STAMP"
        let whole = try Scratch.read(file)
        for byte in 0..<24 {
            var bytes = whole
            bytes[offset + byte] ^= 0x10
            try Scratch.write(file, bytes)
            #expect(try scratch.open().stampCeiling == 2_000)
        }
        var bytes = whole
        bytes[10] ^= 1
        bytes[4_106] ^= 1
        try Scratch.write(file, bytes)
        guard case .unreadable(file, _) = try refusal({ _ = try scratch.open() }) else {
            Issue.record("two damaged slots were accepted")
            return
        }
    }
}
