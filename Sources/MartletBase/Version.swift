/// The version of the software, as `--version`, `status` and INFO show it.
package enum Version {
    package static let text = "0.1.0"
}
