"""CRC-32C (Castagnoli), which Google KMS checks and answers with. For the 32 bytes of a content key, not for bulk."""

POLYNOMIAL = 0x82F63B78  # reflected


def crc32c(data: bytes) -> int:
    """Return the checksum (RFC 3720, appendix B.4)."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (POLYNOMIAL if register & 1 else 0)
    return register ^ 0xFFFFFFFF
