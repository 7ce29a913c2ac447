"""The measures of a report on an erasure, and the pages that show them.

The folder compares the original, the erased and the retrained model on rows of data. Each measure
is a file. It depends on the measures of a search over eps and on the routes of rows to the models
inside an estimator. It must not depend on a curvature, a structure or a parameter array, and
nothing that it returns holds a row, a label or the name of a column.
"""

from sklearn_ssse._verification.measures import check_inputs, measure_all
from sklearn_ssse._verification.page import write_page
from sklearn_ssse._verification.sections import report_sections
from sklearn_ssse._verification.text import write_text
