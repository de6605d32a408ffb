/// Texts of one kind, the most frequent first, with JSON's escapes written out already.
struct Vocabulary: Sendable {
    let bytes: [UInt8]
    private let ends: [Int]

    var count: UInt64 { UInt64(ends.count) }

    init(_ texts: [String]) {
        var bytes: [UInt8] = []
        var ends: [Int] = []
        for text in texts {
            bytes.append(contentsOf: text.utf8)
            ends.append(bytes.count)
        }
        self.bytes = bytes
        self.ends = ends
    }

    /// Texts separated by blanks.
    init(words: String) { self.init(words.split(whereSeparator: \.isWhitespace).map(String.init)) }

    @inline(__always)
    func range(_ index: Int) -> Range<Int> { (index == 0 ? 0 : ends[index - 1])..<ends[index] }
}

extension Vocabulary {
    /// Words of messages: mostly plain, with raw UTF-8, escapes, and a surrogate pair among the rare ones.
    static let message = Vocabulary(
        words: #"""
            the to you your and for is order thanks we our with now on this hello a please it can of ready offer today
            new in shipping help free get have here see more be at until save update time cart back account code
            question yes when just from will team minutes delivery sale happy left everything only payment great last
            know chance details waiting what café I\u2019m discount welcome refund size let's confirm tomorrow address
            replied support \u00e9t\u00e9 item available invoice größer friend review \"great\" week 50% plan upgrade
            invite gift naïve weekend C:\\orders price\tlist premium answer déjà Grüße https:\/\/shop.example\/s
            line\nbreak 你好 \ud83d\ude80 Привет 🙂 señor tracking Zürich 日本語 جديد \"quoted\ntext\" \u20ac9.99 don\u0027t
            """#)

    static let subject = Vocabulary([
        "Your order is on its way", "Welcome aboard", "Still thinking it over?", "Your weekly summary",
        "We saved your cart", #"Re: \"quick question\""#, "Invoice for March", "Nur noch heute: 20 % für Sie",
        #"Last chance \u2014 ends at midnight"#, "ご注文ありがとうございます",
    ])

    static let org = Vocabulary(
        words: "acme globex initech umbrella hooli stark wayne soylent tyrell cyberdyne wonka aperture müller-söhne")

    static let service = Vocabulary(words: "web ads chat ses sms push whatsapp in_app")

    static let experiment = Vocabulary(
        words: "checkout-cta hero-video price-test onboarding-2 free-shipping footer-links exit-popup search-rank")

    static let split = Vocabulary(words: "control a b c holdout")

    static let funnel = Vocabulary(words: "awareness interest consideration intent purchase retention advocacy")

    static let country = Vocabulary(
        words: "US DE GB FR IN BR JP CA ES IT NL AU MX PL SE CH TR KR ID AR ZA NO DK FI IE PT GR CZ AT BE")

    static let path = Vocabulary(
        words: #"""
            \/ \/pricing \/cart \/checkout \/p\/blue-shoes \/search?q=shoes \/blog \/login \/p\/red-hat \/help \/account
            \/p\/caf\u00e9-cups \/docs\/start \/careers \/p\/%E2%82%AC-wallet
            """#)

    static let element = Vocabulary(words: "buy hero nav-3 banner footer close play add-to-cart share")

    static let eventName = Vocabulary(
        words: "page_view click scroll impression add_to_cart search login purchase signup share video_play error")

    static let host = Vocabulary(
        words: "shop.example.com www.example.org app.example.net m.example.com blog.example.org")

    static let source = Vocabulary(words: "google direct newsletter facebook bing instagram partner reddit")

    static let campaign = Vocabulary(
        words: "spring-sale brand always-on black_friday launch-2026 retarget winback sommer-aktion-ü")

    static let browser = Vocabulary(words: "Chrome Safari Firefox Edge Samsung Opera")

    static let system = Vocabulary(words: "Android Windows iOS macOS Linux ChromeOS")

    static let city = Vocabulary([
        "New York", "London", "Berlin", "São Paulo", "Paris", "Mumbai", "東京", #"Z\u00fcrich"#, "Kraków", "Toronto",
    ])

    static let zone = Vocabulary(
        words: "America/New_York Europe/Berlin Europe/London Asia/Kolkata America/Sao_Paulo Asia/Tokyo")
}
