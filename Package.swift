// swift-tools-version: 6.2
// The floors of docs/ARCHITECTURE.md, top to bottom. A target imports only from lower floors, and targets of one
// floor never import each other; scripts/tidy fails the build when an import breaks this.
import PackageDescription

/// What every target of ours is compiled with: language mode 6, warnings are errors, lifetimes for the cursors that
/// borrow a frame, and leaves inlined across modules in release.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableExperimentalFeature("Lifetimes"),
    .treatAllWarnings(as: .error),
    .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
]

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func program(_ name: String, at path: String? = nil, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: path, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

let package = Package(
    name: "martlet",
    targets: [
        // Floor 0: C headers.
        .systemLibrary(name: "CLZ4"),
        .systemLibrary(name: "CXXHash"),

        // Floor 3.
        module("MartletWire", ["CLZ4", "MartletBase", "MartletVersions"]),
        tests("MartletWireTests", ["MartletBase", "MartletVersions", "MartletWire"]),

        // Floor 2: pure, each alone.
        module("MartletStorage", ["MartletBase"]),
        module("MartletVersions", ["MartletBase"]),
        tests("MartletVersionsTests", ["MartletBase", "MartletVersions"]),

        // Floor 1.
        module("MartletBase", ["CXXHash"]),
        tests("MartletBaseTests", ["MartletBase"]),

        // Floor 2: pure, each alone.
        module("MartletGossip", ["MartletBase"]),
        tests("MartletGossipTests", ["MartletGossip", "MartletBase"]),
    ]
)
