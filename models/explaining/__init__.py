"""Why a score is what it is: themes, what each column adds, what models look at."""
