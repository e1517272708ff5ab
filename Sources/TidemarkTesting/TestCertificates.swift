/// Made for tests, good for a hundred years: a server's certificate for `localhost`, and who signed it.
package enum TestCertificates {
    package static let authority = """
        -----BEGIN CERTIFICATE-----
        MIIBnjCCAUOgAwIBAgIUcXVPB9FH4KPn1LHcxLXzCqbO278wCgYIKoZIzj0EAwIw
        GzEZMBcGA1UEAwwQVGlkZW1hcmsgdGVzdCBDQTAgFw0yNjExMjYwMzMzNTVaGA8y
        MTI2MTEwMjAzMzM1NVowGzEZMBcGA1UEAwwQVGlkZW1hcmsgdGVzdCBDQTBZMBMG
        ByqGSM49AgEGCCqGSM49AwEHA0IABDdWeUBtWEAPlEe0WS8ohyEMHpO2MJfopyCr
        KJ/uiWcPxLNYsQvhIv/z7DSc70h7rclnoGsdC26kQuOz0U2O5LCjYzBhMB0GA1Ud
        DgQWBBR/L6WJhGcUwQJyXT8NQqFbHy8QdjAfBgNVHSMEGDAWgBR/L6WJhGcUwQJy
        XT8NQqFbHy8QdjAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwICBDAKBggq
        hkjOPQQDAgNJADBGAiEA3+tErhcYxa5J/cADslz7YPQFDvEURhABSDk1a5fmz5EC
        IQCpDlqRjszQvOIrtlXTuIjDkXLLk6t6z7ef1Ta5VEzonw==
        -----END CERTIFICATE-----
        """

    package static let otherAuthority = """
        -----BEGIN CERTIFICATE-----
        MIIBijCCATGgAwIBAgIUdjlox3oDMdfEGGIl5jvIsEd2kA8wCgYIKoZIzj0EAwIw
        GjEYMBYGA1UEAwwPQW5vdGhlciB0ZXN0IENBMCAXDTI2MTEyNjAzMzM1NloYDzIx
        MjYxMTAyMDMzMzU2WjAaMRgwFgYDVQQDDA9Bbm90aGVyIHRlc3QgQ0EwWTATBgcq
        hkjOPQIBBggqhkjOPQMBBwNCAAQHzO8d/Gr5xUk7MtWFZe86KpQlM2r10N5nHyOZ
        usOnLLVFohkBOmn8l1yM6B8yK3ghGBWJeIPvATUWXoy32tYho1MwUTAdBgNVHQ4E
        FgQUpaYJlR6A8LYhAGHgDEDir0KNCq4wHwYDVR0jBBgwFoAUpaYJlR6A8LYhAGHg
        DEDir0KNCq4wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiB5j94G
        39X05tJtlpuDn23l5ZvNnZCzHzF05x9jOT2S0wIgI0j2CQ0gEBZcBhnFWHNojz+t
        3/MAsmwYdtfR4ByHhds=
        -----END CERTIFICATE-----
        """

    package static let server = """
        -----BEGIN CERTIFICATE-----
        MIIBoDCCAUagAwIBAgIUV/Ukbm7QUWqs5TnJVCOuUYTMseEwCgYIKoZIzj0EAwIw
        GzEZMBcGA1UEAwwQVGlkZW1hcmsgdGVzdCBDQTAgFw0yNjExMjYwMzMzNTZaGA8y
        MTI2MTEwMjAzMzM1NlowFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0C
        AQYIKoZIzj0DAQcDQgAE3NPs7Wws/ekZTyDNMpISdNhQNXKC0AsV9KFob88/wVcm
        nKfQLHQKWXBY/vlud3o+5i+DLb7ObbDSfKPETbZI+qNtMGswFAYDVR0RBA0wC4IJ
        bG9jYWxob3N0MBMGA1UdJQQMMAoGCCsGAQUFBwMBMB0GA1UdDgQWBBS/+B0S4VGi
        jqnVPLJGNVMhp25+oDAfBgNVHSMEGDAWgBR/L6WJhGcUwQJyXT8NQqFbHy8QdjAK
        BggqhkjOPQQDAgNIADBFAiAMQZzK1Kngk9OOZH30AqC4zryX/J+MW1ZsOCi1Iyql
        bAIhALr+koShw8MI8DKNvL2r5eSAhue6XPcHYX6qKeU60QCd
        -----END CERTIFICATE-----
        """

    package static let serverKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgTGMgz/aJj/kxDVQQ
        YolX5uZaHa0cwk/neDqSFWTRy3qhRANCAATc0+ztbCz96RlPIM0ykhJ02FA1coLQ
        CxX0oWhvzz/BVyacp9AsdApZcFj++W53ej7mL4Mtvs5tsNJ8o8RNtkj6
        -----END PRIVATE KEY-----
        """

    /// For `localhost` too, signed by itself.
    package static let renewed = """
        -----BEGIN CERTIFICATE-----
        MIIBlTCCATugAwIBAgIUe7gYHGKRjbt9ilXfIzRL6GrbsBAwCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEzMDEwNDAzN1oYDzIxMjYxMTA2
        MTA0MDM3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAASMIr9zQ/3nHtUoTWLTRO0DPOWMrtFCFHa/x9FomaBkfxZr2Jo2/r9R
        5O0adXwjE93x9C4YNpvJIl+PcSpklP+ho2kwZzAdBgNVHQ4EFgQU8wm6RXDQBQzJ
        OdxPlb5ikVIPKHAwHwYDVR0jBBgwFoAU8wm6RXDQBQzJOdxPlb5ikVIPKHAwDwYD
        VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
        SAAwRQIgc037YBN1eWKev24k3Y2NW5rryb6oaRx7cIRzAFv87MECIQCC3xhVuEGb
        L1lCAdYhxcelrlTjA38Zl333mmT9XesiVA==
        -----END CERTIFICATE-----
        """

    package static let renewedKey = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLcCVyLha4cLltX2o
        WUig6FrbnlkipIRPIO1xp652FcOhRANCAASMIr9zQ/3nHtUoTWLTRO0DPOWMrtFC
        FHa/x9FomaBkfxZr2Jo2/r9R5O0adXwjE93x9C4YNpvJIl+PcSpklP+h
        -----END PRIVATE KEY-----
        """
}
