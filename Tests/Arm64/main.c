#include <inttypes.h>
#include <stdio.h>

int32_t kernel_sums(uint64_t *sums);

int main(void) {
    uint64_t sums[256];
    int32_t count = kernel_sums(sums);
    for (int32_t i = 0; i < count; i++)
        printf("%016" PRIx64 "\n", sums[i]);
    return 0;
}
