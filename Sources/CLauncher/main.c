#include "swiftcompress.h"

int main(int argc, char **argv) { return swc_command_line(argc, (const char *const *)argv); }
