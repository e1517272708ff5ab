extension Unicode.Scalar {
    /// All control and format characters, which are invisible, and the separators of lines and paragraphs; but not those
    /// that visible text is made with: the joiners of emoji and Indic and Persian words, and the signs in front of Arabic
    /// numbers, which are visible.
    package var isUnsafeOnTerminals: Bool {
        switch self.value {
        case 0..<0x20, 0x7F..<0xA0: return true
        case 0x20..<0x7F, 0x200C, 0x200D, 0x0600...0x0605, 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2: return false
        default: break
        }
        switch self.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: return true
        default: return false
        }
    }
}
